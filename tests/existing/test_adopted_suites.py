"""`modelenv adopt` on each existing suite: its code stays as it is, and it then runs without the Hub."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelenv.adoption.records import Adoption, Seen, read
from modelenv.adoption.runs import variables_of
from modelenv.hub import EmbeddedHub

from .test_existing_suites import INSTALLED_HERE, SECONDS, SENDERS, SUITES

MakeEnviron = Callable[..., dict[str, str]]

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-m", "pytest", *INSTALLED_HERE, "-p", "no:cacheprovider", "-n2")
WRITTEN = ("pyproject.toml", "modelenv.lock")
# The tests that need the Hub for something that cannot be locked: they test that it does not have a repo.
FAIL_WITHOUT_THE_HUB = {
    "hub_file": ["tests/test_labels.py::test_a_repo_that_does_not_exist"],
    "own_names": ["tests/test_users.py::TestHub::test_does_not_exist"],
}
# For other suites, a lock can do nothing.
WITHOUT_MODELS = {
    "api_clients": "acme/classifier: requested by an HTTP client other than that of huggingface_hub",
    "mocked": None,
}
# The declaration, for each of the others.
DECLARED = {
    "tokenizer": '{ repo = "acme/classifier", files = [',
    "hub_file": '{ repo = "acme/classifier", files = ["config.json", "no-such-file.json"] }',
    "own_names": '{ repo = "acme/classifier", files = ["config.json"] }',
    "cached_pipeline": '"acme/classifier"',
    "local_snapshot": '"acme/embedder"',
    "unittest_class": '"acme/embedder"',
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from modelenv.testing import tiny_model

    folder = tmp_path_factory.mktemp("models")
    tasks = {"classifier": "text-classification", "embedder": "feature-extraction"}
    return {f"acme/{name}": tiny_model(task, folder / name) for name, task in tasks.items()}


@pytest.fixture
def served(models: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The folders that the Hub serves, which a test can change."""
    return {repo: shutil.copytree(folder, tmp_path / "served" / repo) for repo, folder in models.items()}


@pytest.fixture
def hub(served: dict[str, Path]) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(cdn=True) as hub:
        for repo, folder in served.items():
            hub.add(folder, repo)
        yield hub


@dataclass(frozen=True)
class Suite:
    """A copy of a suite, and what `modelenv adopt` did with it."""

    folder: Path
    environ: dict[str, str]
    hub: EmbeddedHub

    @property
    def cache(self) -> Path:
        return Path(self.environ["HF_HOME"]) / "hub"

    def adopt(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "modelenv", "adopt", "--json", "--", *COMMAND],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        assert "error" not in found, done.stderr
        return {**found, "code": done.returncode, "text": done.stderr}

    def run_without_the_hub(self, folder: Path) -> tuple[Seen, str]:
        """Run the suite as the second run of `modelenv adopt` does."""
        folder.mkdir()
        adoption = Adoption(str(folder), self.hub.endpoint, str(self.folder), str(self.cache))
        done = subprocess.run(
            COMMAND, cwd=self.folder, env=variables_of(adoption, self.environ),
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        return read(folder), done.stdout

    def files(self) -> dict[str, str]:
        """Return the hash of each file that the suite consists of."""
        paths = (each for each in self.folder.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.name not in WRITTEN
        }


def copied(name: str, tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub) -> Suite:
    shutil.copytree(SUITES / name, tmp_path / name)
    environ = make_environ(HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_PROGRESS_BARS="1")
    return Suite(tmp_path / name, environ, hub)


def test_each_suite_is_adopted() -> None:
    assert set(SENDERS) == {*DECLARED, *WITHOUT_MODELS}


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_an_adopted_suite_runs_without_the_hub(
    name: str, tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub, served: dict[str, Path]
) -> None:
    suite = copied(name, tmp_path, make_environ, hub)
    before = suite.files()
    found = suite.adopt()
    assert suite.files() == before
    (row,) = found["models"]
    alias = row["model"].partition("/")[2]
    written = (suite.folder / "pyproject.toml").read_text()
    assert written.startswith(f"[tool.modelenv.models]\n{alias} = {DECLARED[name]}")
    assert row["commit"] in (suite.folder / "modelenv.lock").read_text()
    assert row["tests"] >= 1
    assert 0 < row["requests"] <= len(hub.requests)
    assert row["requests_without_the_hub"] == 0
    assert found["failed_without_the_hub"] == FAIL_WITHOUT_THE_HUB.get(name, [])
    assert found["problems"] == []
    assert found["code"] == found["codes"][1]

    (served[row["model"]] / "config.json").write_text("{}")
    assert hub.add(served[row["model"]], row["model"]).commit != row["commit"]
    hub.clear()
    seen, text = suite.run_without_the_hub(tmp_path / "seen")
    assert [each.kind for each in hub.requests] == []
    assert not any(each.is_request for each in seen.asked), text
    failed = {Path(test).name for test in seen.failed}
    assert {Path(test).name for test in FAIL_WITHOUT_THE_HUB.get(name, [])} <= failed
    assert len(failed) - len(FAIL_WITHOUT_THE_HUB.get(name, [])) == text.count("that_fails -")


def test_an_adopted_suite_runs_by_plain_pytest(tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub) -> None:
    suite = copied("tokenizer", tmp_path, make_environ, hub)
    source = suite.adopt()["model_source"]
    written = [(suite.folder / each).read_text() for each in WRITTEN]
    (suite.folder / "pytest.ini").write_text(f"[pytest]\nmodel_source = {source}\n")
    again = suite.adopt()  # the lock answers in the first run already
    assert (again["added"], again["codes"]) == ([], [0, 0])
    assert [(suite.folder / each).read_text() for each in WRITTEN] == written
    hub.stop()
    done = subprocess.run(
        COMMAND, cwd=suite.folder, env=suite.environ, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_a_changed_byte_is_found_before_it_is_loaded(
    tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub
) -> None:
    suite = copied("hub_file", tmp_path, make_environ, hub)
    (row,) = suite.adopt()["models"]
    (config,) = suite.cache.glob(f"models--*/snapshots/{row['commit']}/config.json")
    blob = config.resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    hub.stop()
    seen, text = suite.run_without_the_hub(tmp_path / "seen")
    assert "ModelIntegrityError" in text or "ModelDownloadError" in text
    assert len(seen.failed) >= 1
    assert not config.exists()


@pytest.mark.parametrize("name", sorted(WITHOUT_MODELS))
def test_a_suite_that_a_lock_cannot_help_stays_as_it_is(
    name: str, tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub
) -> None:
    suite = copied(name, tmp_path, make_environ, hub)
    before = suite.files()
    found = suite.adopt()
    assert suite.files() == before
    assert not any((suite.folder / each).exists() for each in WRITTEN)
    assert found["models"] == []
    leftover = WITHOUT_MODELS[name]
    assert [each.rpartition(" (")[0] for each in found["leftovers"]] == ([leftover] if leftover else [])
