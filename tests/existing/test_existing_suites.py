"""Existing suites that say nothing about modelenv: the plugin changes nothing, and reports their requests.

Each suite in the folder `suites` is run with the plugin and without it, on an embedded Hub with tiny real models.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelenv.amounts import counted, size_text
from modelenv.hub import EmbeddedHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakeEnviron = Callable[..., dict[str, str]]

pytestmark = pytest.mark.integration

SUITES = Path(__file__).parent / "suites"
SECONDS = 240
# Options for other plugins that are installed here: no random order, and no warning of pytest-asyncio.
INSTALLED_HERE = ("-p", "no:randomly", "-o", "asyncio_default_fixture_loop_scope=function")
WITHOUT_XDIST, N0, N2 = (), ("-n0",), ("-n2",)
# The suites without torch. These run in all modes.
QUICK = frozenset({"api_clients", "hub_file", "mocked", "own_names"})

# The tests, and the files at collection, that send requests. All others send none.
SENDERS = {
    "tokenizer": {
        "test_textlen.py::test_longer_texts_have_more_tokens[bitcoin]",
        "test_textlen.py::test_longer_texts_have_more_tokens[bitcoin price surge]",
        "test_textlen.py::test_no_tokens_are_lost",
    },
    # The first test that needs the pipeline builds it, in each process.
    "cached_pipeline": {"test_sentiment.py::test_a_label"},
    "hub_file": {
        "tests/test_labels.py at collection",
        "tests/test_labels.py::test_the_labels",
        "tests/test_labels.py::test_a_file_that_does_not_exist",
        "tests/test_labels.py::test_a_repo_that_does_not_exist",
    },
    "own_names": {
        "tests/test_users.py::test_download",
        "tests/test_users.py::test_info",
        "tests/test_users.py::TestHub::test_exists",
        "tests/test_users.py::TestHub::test_does_not_exist",
    },
    "local_snapshot": {"test_encoder.py::test_weights"},
    "unittest_class": {
        "test_search.py::TestSearch::test_one_vector_for_each_text",
        "test_search.py::TestTokens::test_tokens",
        "test_search.py::TestTokens::test_that_fails",
    },
    "api_clients": {
        f"test_clients.py::test_{name}"
        for name in (
            "requests",
            "requests_follows_a_redirect",
            "requests_in_a_thread",
            "urllib",
            "http_client",
            "httpx_streams",
            "httpx_async",
            "requests_in_an_executor",
        )
    },
    "mocked": set(),
}


def test_each_suite_is_run() -> None:
    assert {each.name for each in SUITES.iterdir() if each.is_dir()} == set(SENDERS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    """A Hub with a classifier and an embedder, whose weights are on another server, as on the public Hub."""
    from modelenv.testing import tiny_model

    folder = tmp_path_factory.mktemp("models")
    with EmbeddedHub(cdn=True) as hub:
        for name, task in {"classifier": "text-classification", "embedder": "feature-extraction"}.items():
            hub.add(tiny_model(task, folder / name), f"acme/{name}")
        yield hub


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest shows.

    Attributes:
        code: The exit code.
        tests: The tests in the order in which they ran, each with its outcome and message.
        text: The output.
    """

    code: int
    tests: tuple[tuple[str, str, str], ...]
    text: str

    @property
    def block(self) -> list[str]:
        """The lines of the block about requests to the Hub."""
        _, found, rest = self.text.partition("= requests to the Hub =")
        return re.split(r"^[-=]+ ", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines()[1:] if found else []


@dataclass(frozen=True)
class Suite:
    """A copy of a suite."""

    folder: Path
    make_environ: MakeEnviron
    hub: EmbeddedHub

    def run(self, *args: str, endpoint: str | None = None) -> Outcome:
        """Run the suite with an empty Hugging Face cache. The Hub's log then has the requests of this run only."""
        self.hub.clear()
        report = self.folder / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *INSTALLED_HERE, f"--junit-xml={report}", *args],
            cwd=self.folder,
            env=self.make_environ(HF_ENDPOINT=endpoint or self.hub.endpoint, HF_HUB_DISABLE_PROGRESS_BARS="1"),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert report.exists(), done.stdout + done.stderr
        cases = ET.parse(report).getroot().iter("testcase")
        return Outcome(done.returncode, tuple(map(outcome_of, cases)), done.stdout)


def outcome_of(case: ET.Element) -> tuple[str, str, str]:
    name = f"{case.get('classname')}.{case.get('name')}"
    parts = [each for each in case if each.tag in ("failure", "error", "skipped")]
    return name, " ".join(each.tag for each in parts), " ".join(each.get("message", "") for each in parts)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, id=f"{name}{''.join(mode)}")
        for name in sorted(SENDERS)
        for mode in (WITHOUT_XDIST, N0, N2)
        if name in QUICK or mode == WITHOUT_XDIST or (name, mode) == ("tokenizer", N2)
    ],
)
def test_the_plugin_changes_no_outcome(
    name: str, mode: tuple[str, ...], tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub
) -> None:
    shutil.copytree(SUITES / name, tmp_path / name)
    suite = Suite(tmp_path / name, make_environ, hub)
    without = suite.run("-p", "no:modelenv", *mode)
    asked_without = len(suite.hub.requests)
    outcome = suite.run(*mode)
    if mode == N2:  # which worker runs a test first, and fills the cache, is not determined
        assert sorted(outcome.tests) == sorted(without.tests)
    else:
        assert outcome.tests == without.tests
        assert len(suite.hub.requests) == asked_without
    assert outcome.code == without.code
    assert not without.block
    assert_block_is_right(outcome.block, suite, mode)


def assert_block_is_right(block: list[str], suite: Suite, mode: tuple[str, ...]) -> None:
    senders = SENDERS[suite.folder.name]
    if not senders:
        assert block == []
        assert suite.hub.requests == ()
        return
    total, *lines, what_to_do = block
    requests, received = len(suite.hub.requests), sum(each.body_bytes for each in suite.hub.requests)
    assert f" sent {counted(requests, 'request')} to the Hub: {size_text(received)}, " in total
    assert what_to_do.startswith("run `modelenv adopt -- pytest ...` to lock these models ")
    found = {line.rpartition(": ")[0]: line.rpartition(": ")[2] for line in lines}
    # With several workers, the first test in each of them can be another one.
    assert set(found) == senders if mode != N2 else senders & set(found)
    assert sum(int(amounts.split()[0].replace(",", "")) for amounts in found.values()) == requests
    asked = {each.repo_id for each in suite.hub.requests} - {None}
    named = {name for amounts in found.values() for name in re.findall(r"acme/[\w-]+", amounts)}
    assert named == asked
