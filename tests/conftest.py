"""Shared by all tests: pytester, a real classifier, and the environment of programs that a test starts."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytest_plugins = ["pytester"]

TRAINING_SECONDS = 200
# Variables from outside that would change the behaviour of a program that a test starts.
FOREIGN_PREFIXES = ("HF_", "HUGGINGFACE_", "MODEL_", "PYTEST_", "TRANSFORMERS_")
FOREIGN_NAMES = ("ENVIRONMENT", "GITHUB_ACTIONS", "TESTING")
# The variable that names the folder in which pytest creates its temporary files.
TEMPORARY_ROOT = "PYTEST_DEBUG_TEMPROOT"
# The markers of tests that run only with --real-models.
NOT_FAST = frozenset({"integration", "slow"})


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that are slow without a real model: whole inner runs, load, random damage.

    Programs that tests interrupt inherit how this process handles SIGINT. A run in the background ignores it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: not in the fast suite; collected with --real-models")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Explain why a test that is named on the command line can be missing."""
    return None if _collects_all(config) else "tests marked slow or integration are collected only with --real-models"


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """Without --real-models, do not collect (nor parametrize) tests that are marked slow or integration."""
    if _collects_all(collector.config):
        return None
    marks = getattr(obj, "pytestmark", []) if isinstance(obj, FunctionType | type) else []
    return [] if _has_any(marks) or _has_any(collector.iter_markers()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --real-models, deselect the cases in which only a parameter is marked slow or integration."""
    if _collects_all(config):
        return
    dropped = [item for item in items if _has_any(item.iter_markers())]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def _collects_all(config: pytest.Config) -> bool:
    return bool(config.getoption("--real-models"))


def _has_any(marks: Iterable[pytest.Mark]) -> bool:
    return any(mark.name in NOT_FAST for mark in marks)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder of a small trained sentiment classifier. Only for `integration` tests.

    It is trained once for all workers of the run, in a few seconds, with torch. Copy the folder before you change it.
    """
    from filelock import FileLock

    from modelenv.testing import sentiment_classifier

    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent  # a worker's folder is inside the controller's
    with FileLock(shared / "classifier.lock", timeout=TRAINING_SECONDS):
        return sentiment_classifier(shared / "classifier")


@pytest.fixture(scope="session", autouse=True)
def temporary_root_of_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the pytest runs that a test starts a folder of their own for temporary files.

    Otherwise, each of them would remove the old folders of other runs when it ends, which can take minutes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TEMPORARY_ROOT, str(tmp_path_factory.mktemp("programs")))
        yield


@pytest.fixture
def make_environ(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """A function that returns the variables for a program that a test starts.

    HF_*, MODEL_*, PYTEST_* and similar variables from outside are removed. HF_HOME is a new empty folder in each
    call. Keywords add variables: `make_environ(HF_ENDPOINT=hub.endpoint)`.
    """

    def make(**variables: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN_PREFIXES) and name not in FOREIGN_NAMES
        }
        own = {TEMPORARY_ROOT: os.environ[TEMPORARY_ROOT], "HF_HOME": str(tmp_path_factory.mktemp("hf_home"))}
        return {**kept, **own, **variables}

    return make


@pytest.fixture
def clean_environ(make_environ: Callable[..., dict[str, str]]) -> dict[str, str]:
    """The variables for a program that a test starts. See `make_environ`."""
    return make_environ()


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Collect no garbage during the test: for tests in which the parser reaches the recursion limit.

    A collection at that depth would run the finalizers of other tests' objects, which fail there.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """A temporary folder that other users can enter.

    pytest's own folders cannot be opened to them reliably: each start of pytest closes their common parent again.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def nobody_runs_python() -> None:
    """Skip the test if an unprivileged user cannot run this Python, for example below a home with mode 0700."""
    drop = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
    done = subprocess.run(
        [*drop, "--bounding-set=-all", sys.executable, "-c", "import ctypes"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"an unprivileged user cannot run {sys.executable}: {done.stderr.decode().strip()}")
