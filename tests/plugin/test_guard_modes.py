"""The modes of the guards: which one applies, and that the mode `report` changes no outcome."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .conftest import PLAIN_INI
from .projects import N2, WITHOUT_XDIST, all_modes, errors_of, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

# Nothing listens on this port, so a request that is not refused ends in a connection error.
NOWHERE = "http://127.0.0.1:9"
ASKS = """
import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import get_session
import httpx2

def ask():
    with pytest.raises(httpx2.ConnectError):
        get_session().get(f"{URL}/api/models/acme/crypto")

def test_asks():
    ask()
"""
REFUSED = "sends a request to the Hub"
BLOCK = "= requests to the Hub ="


@pytest.fixture
def silent(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project that says nothing about models. Its Hub cannot be reached."""
    project.makeini(PLAIN_INI)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    project.makepyfile(test_asks=ASKS.replace("{URL}", NOWHERE))
    return project


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "report"),
        ("[project]\nname = 'a'\nversion = '1'\ndependencies = ['modelenv']\n", "report"),
        ("[tool.modelenv]\ntimeout = 5\n", "report"),
        ("[tool.modelenv.models]\n", "report"),
        ("[tool.other.modelenv.models]\n'acme/crypto' = 'text-classification'\n", "report"),
        ("[tool.modelenv.models]\n'acme/crypto' = 'text-classification'\n", "error"),
        ("[tool]\nmodelenv.models = {'acme/crypto' = 'text-classification'}\n", "error"),
        ("[tool . 'modelenv']\nmodels.'acme/crypto' = 'text-classification'\n", "error"),
    ],
)
def test_the_default_depends_on_declared_models(
    run_program: RunTests, silent: pytest.Pytester, text: str, mode: str
) -> None:
    (silent.path / "pyproject.toml").write_text(text)
    result = run_program()
    result.assert_outcomes(passed=mode == "report", failed=mode == "error")
    assert (REFUSED in result.stdout.str()) is (mode == "error")
    assert (BLOCK in result.stdout.str()) is (mode == "report")


@all_modes
@pytest.mark.slow
def test_option_beats_ini_file_beats_default(
    run_program: RunTests, silent: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    (silent.path / "pyproject.toml").write_text("[tool.modelenv.models]\n'acme/crypto' = 'text-classification'\n")
    for ini, options, expected in (
        ("", (), "error"),
        ("report", (), "report"),
        ("off", (), "off"),
        ("off", ("--model-guards=report",), "report"),
        ("report", ("--model-guards=error",), "error"),
        ("error", ("--no-model-guards",), "off"),
    ):
        silent.makeini(f"{PLAIN_INI}model_guards = {ini}\n")
        result = run_program(*mode, *options)
        result.assert_outcomes(passed=expected != "error", failed=expected == "error")
        assert (BLOCK in result.stdout.str()) is (expected == "report")


@without_and_n2
def test_an_invalid_mode_in_the_ini_file(
    run_program: RunTests, silent: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    silent.makeini(f"{PLAIN_INI}model_guards = warn\n")
    result = run_program(*mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == ["ini-option model_guards: 'warn' is not a mode; choose one of report, error, off"]


DECLARES_IN_WORKERS = """
import os
import http.client
if "PYTEST_XDIST_WORKER" in os.environ:
    os.chdir("elsewhere")
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["report", "error"])
def test_workers_have_the_mode_of_the_controller(run_program: RunTests, silent: pytest.Pytester, mode: str) -> None:
    """Each worker is in a folder for which the other mode is the default."""
    declaring = "[tool.modelenv.models]\n'acme/crypto' = 'text-classification'\n"
    folder = silent.mkdir("elsewhere")
    (folder / "pyproject.toml").write_text(declaring if mode == "report" else "")
    (silent.path / "pyproject.toml").write_text("" if mode == "report" else declaring)
    silent.makepyfile(changing=DECLARES_IN_WORKERS)
    result = run_program("-p", "changing", *N2)
    result.assert_outcomes(passed=mode == "report", failed=mode == "error")
    assert (BLOCK in result.stdout.str()) is (mode == "report")


SENDERS = """
import pytest
import urllib.request
from huggingface_hub import HfApi
import sys

def ask(name="crypto", times=1):
    for _ in range(times):
        with pytest.raises(OSError):
            urllib.request.urlopen(f"URL/api/models/acme/{name}")

ask("collected")

@pytest.fixture
def asking():
    ask("setup")
    yield
    ask("teardown")

def test_one(asking):
    ask()

@pytest.mark.parametrize("number", range(12))
def test_many(number):
    ask(times=2)

@pytest.mark.integration
def test_integration():
    ask("integration", 5)

@pytest.mark.model_access
def test_access():
    ask("access", 4)

def test_nothing():
    assert "modelenv" not in sys.modules
"""


def block_of(result: pytest.RunResult) -> list[str]:
    """Return the block, with each time replaced by `T s`."""
    text = result.stdout.str().partition(BLOCK)[2].partition("\n")[2]
    return re.sub(r"\d+\.\d s", "T s", text.partition("\n=")[0]).splitlines()


@all_modes
@pytest.mark.slow
def test_the_block(run_program: RunTests, silent: pytest.Pytester, mode: tuple[str, ...]) -> None:
    silent.makepyfile(test_asks=SENDERS.replace("URL", NOWHERE))
    silent.makeconftest(
        f"from urllib.request import urlopen\ntry: urlopen('{NOWHERE}/api/whoami-v2')\nexcept OSError: pass\n"
    )
    result = run_program(*mode)
    result.assert_outcomes(passed=16)
    processes = 3 if mode == N2 else 1
    collected = 2 if mode == N2 else 1
    total, *lines, more, what_to_do = block_of(result)
    assert total == (
        "15 tests and 1 test file at collection and a conftest.py or a plugin sent "
        f"{12 * 2 + 3 + 5 + 4 + collected + processes} requests to the Hub: 0 B, T s"
    )
    assert len(lines) == 10
    assert more == "and 7 more"
    assert what_to_do == (
        "run `modelenv adopt -- pytest ...` to lock these models (docs/existing-code.md); --model-guards=error makes "
        "a test that should use a fake fail instead, and names the line (docs/guards.md)"
    )
    shown = {line for line in lines if "test_many" not in line}
    assert shown <= {
        "test_asks.py::test_one: 3 requests, 0 B, T s (acme/crypto, acme/setup, acme/teardown)",
        "test_asks.py::test_integration: 5 requests, 0 B, T s (acme/integration)",
        "test_asks.py::test_access: 4 requests, 0 B, T s (acme/access)",
        f"test_asks.py at collection: {collected} request{'s' * (collected > 1)}, 0 B, T s (acme/collected)",
        f"a conftest.py or a plugin: {processes} request{'s' * (processes > 1)}, 0 B, T s",
    }
    assert all(
        re.fullmatch(r"test_asks.py::test_many\[\d+\]: 2 requests, 0 B, T s \(acme/crypto\)", line)
        for line in set(lines) - shown
    )


IN_THREADS = """
import http.client
import threading
import urllib.request

def ask(together, errors):
    together.wait(60)
    try:
        urllib.request.urlopen("URL/api/models/acme/crypto")
    except Exception as error:
        errors.append(type(error).__name__)

def test_one():
    together, errors = threading.Barrier(8), []
    threads = [threading.Thread(target=ask, args=(together, errors)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(errors))
"""


def test_the_first_requests_of_a_run_can_be_in_threads(run_program: RunTests, silent: pytest.Pytester) -> None:
    silent.makepyfile(test_asks=IN_THREADS.replace("URL", NOWHERE))
    result = run_program("-s")
    result.assert_outcomes(passed=1)
    assert block_of(result)[0] == "1 test sent 8 requests to the Hub: 0 B, T s"
    assert str(["URLError"] * 8) in result.stdout.str()
    result = run_program("-s", "--model-guards=error")
    result.assert_outcomes(failed=1)
    assert str(["UnexpectedModelAccessError"] * 8) in result.stdout.str()


CRASHES = """
import os
import urllib.request
import pytest

@pytest.fixture
def asking():
    with pytest.raises(OSError):
        urllib.request.urlopen("URL/api/models/acme/crypto")

def test_one(asking): pass

def test_crash(asking):
    os._exit(1)
"""


@pytest.mark.slow
def test_a_crash_loses_no_earlier_request(run_program: RunTests, silent: pytest.Pytester) -> None:
    silent.makepyfile(test_asks=CRASHES.replace("URL", NOWHERE))
    result = run_program("-p", "xdist", "-n1")
    result.assert_outcomes(passed=1, failed=1)
    assert block_of(result)[0] == "2 tests sent 2 requests to the Hub: 0 B, T s"


FORBIDDEN = "def test_torch():\n    import torch\n"


def test_forbidden_imports_stay_an_error(run_program: RunTests, silent: pytest.Pytester) -> None:
    (silent.mkpydir("torch") / "__init__.py").write_text("")
    silent.makepyfile(test_asks=FORBIDDEN)
    silent.makeini(f"{PLAIN_INI}forbid_heavy_imports = true\n")
    result = run_program()
    result.assert_outcomes(failed=1)
    assert "test_asks.py::test_torch imports torch in a run without --real-models" in result.stdout.str()
    run_program("--model-guards=off").assert_outcomes(passed=1)


IMPORTS_AND_ASKS = """
import sys

def test_torch():
    import torch

def test_modelenv():
    assert "modelenv" not in sys.modules
"""


def test_reported_imports_do_not_import_modelenv(run_program: RunTests, silent: pytest.Pytester) -> None:
    (silent.mkpydir("torch") / "__init__.py").write_text("")
    silent.makepyfile(test_asks=IMPORTS_AND_ASKS)
    result = run_program()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*= heavy imports =*", "test_asks.py:4 imported torch: *"])


def test_no_block_without_requests(run_program: RunTests, silent: pytest.Pytester) -> None:
    silent.makepyfile(test_asks="import http.client\ndef test_one(): pass\n")
    for options in ((), ("--co",)):
        assert BLOCK not in run_program(*options).stdout.str()


def test_requests_at_collection_are_shown_with_co(run_program: RunTests, silent: pytest.Pytester) -> None:
    silent.makepyfile(test_asks=SENDERS.replace("URL", NOWHERE))
    result = run_program("--co", "-q")
    assert block_of(result)[0] == "1 test file at collection sent 1 request to the Hub: 0 B, T s"
    silent.makeini(PLAIN_INI.replace(" -ra", ""))
    assert run_program("--co", "-p", "no:terminal").ret == 0


@pytest.mark.slow
def test_a_request_in_a_worker_before_it_is_configured(run_program: RunTests, silent: pytest.Pytester) -> None:
    """A plugin that sends a request as soon as it is loaded, and tests that pytest stops before they run."""
    silent.makepyfile(test_asks="def test_one(): assert False\n")
    silent.makeconftest(
        f"from urllib.request import urlopen\ntry: urlopen('{NOWHERE}/api/models/acme/x')\nexcept OSError: pass\n"
    )
    for mode, count in ((WITHOUT_XDIST, "1 request"), (N2, "3 requests")):
        assert block_of(run_program(*mode))[0] == f"a conftest.py or a plugin sent {count} to the Hub: 0 B, T s"
