"""What all tests use: pytester, a real classifier, and an environment for programs started by a test."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest_plugins = ["pytester"]

TRAINING_SECONDS = 200
# Set from outside, these would change what a program sees that a test starts.
FOREIGN_PREFIXES = ("HF_", "HUGGINGFACE_", "MODEL_", "PYTEST_", "TRANSFORMERS_")
FOREIGN_NAMES = ("ENVIRONMENT", "GITHUB_ACTIONS", "TESTING")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that take long without a real model: whole inner runs, load, random damage."""
    config.addinivalue_line("markers", "slow: left out of the fast suite; runs with --real-models")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the fast suite fast."""
    if config.getoption("--real-models"):
        return
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.skip(reason="slow: runs with --real-models"))


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
def let_everybody_in() -> Callable[[Path], None]:
    """A function that lets other users reach a folder of this test: pytest makes its folders for one user alone."""

    def open_up(folder: Path) -> None:
        for parent in (folder, *folder.parents):
            if len(parent.parts) <= 2 or parent.stat().st_mode & 0o1000:  # the temporary folder itself
                return
            parent.chmod(0o755)

    return open_up


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
