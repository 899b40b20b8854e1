"""What all tests use: pytester, a real classifier, and an environment for programs started by a test."""

from __future__ import annotations

import os
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
# Set from outside, these would change what a program sees that a test starts.
FOREIGN_PREFIXES = ("HF_", "HUGGINGFACE_", "MODEL_", "PYTEST_", "TRANSFORMERS_")
FOREIGN_NAMES = ("ENVIRONMENT", "GITHUB_ACTIONS", "TESTING")
# The markers of tests that run with --real-models only.
NOT_FAST = frozenset({"integration", "slow"})


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that take long without a real model: whole inner runs, load, random damage."""
    config.addinivalue_line("markers", "slow: not in the fast suite; collected with --real-models")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Explain why a test that was named on the command line may be missing."""
    return None if _collects_all(config) else "tests marked slow or integration: collected with --real-models only"


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """Keep the fast suite fast: do not even parametrize what it does not run."""
    if _collects_all(collector.config):
        return None
    marks = getattr(obj, "pytestmark", []) if isinstance(obj, FunctionType | type) else []
    return [] if _has_any(marks) or _has_any(collector.iter_markers()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the cases that only a parameter's mark keeps out of the fast suite."""
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
    """A folder with a small trained sentiment classifier: real files, for `integration` tests only.

    Trained once for all workers of the run (some seconds, with torch). Copy it before you change anything in it.
    """
    from filelock import FileLock

    from modelenv.testing import sentiment_classifier

    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent  # each worker's folder lies in the controller's
    with FileLock(shared / "classifier.lock", timeout=TRAINING_SECONDS):
        return sentiment_classifier(shared / "classifier")


@pytest.fixture
def make_environ(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """A function that gives the variables for a program that a test starts.

    Nothing of HF_*, MODEL_*, PYTEST_* and the like comes in from outside, and HF_HOME is a new, empty folder in
    each call. Keywords are further variables: `make_environ(HF_ENDPOINT=hub.endpoint)`.
    """

    def make(**variables: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN_PREFIXES) and name not in FOREIGN_NAMES
        }
        return {**kept, "HF_HOME": str(tmp_path_factory.mktemp("hf_home")), **variables}

    return make


@pytest.fixture
def clean_environ(make_environ: Callable[..., dict[str, str]]) -> dict[str, str]:
    """The variables for a program that a test starts, without any of its own: see `make_environ`."""
    return make_environ()


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
    """Skips the test where a user without rights may not run this Python, as below a home of mode 0700."""
    drop = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
    done = subprocess.run(
        [*drop, "--bounding-set=-all", sys.executable, "-c", "import ctypes"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a user without rights may not run {sys.executable}: {done.stderr.decode().strip()}")
