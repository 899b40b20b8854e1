"""Caches and models that this user cannot read: clear errors, and findings of `modelenv doctor`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Project

DROP = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
LOAD = """
import sys
from modelenv import SmartModelManager
from modelenv.errors import ModelIntegrityError
for name in sys.argv[1:]:
    try:
        SmartModelManager("local_cache").load_model(name, "sentiment")
    except ModelIntegrityError as error:
        print(error)
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tmp_path(open_tmp_path: Path) -> Path:
    """The test's folder. Other users can enter it."""
    return open_tmp_path


@pytest.fixture
def as_nobody(filled: Project, nobody_runs_python: None) -> Run:
    """A function that runs Python in the project as an unprivileged user."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*DROP, sys.executable, *arguments],
            cwd=filled.folder, env={**filled.environ, "HF_HOME": "/nowhere"}, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("closed", ["", "models--acme--first", "models--acme--first/snapshots"])
@pytest.mark.parametrize("verb", ["verify", "list", "pull", "prune", "doctor"])
def test_unreadable_folders_are_reported_without_a_traceback(
    filled: Project, as_nobody: Run, closed: str, verb: str
) -> None:
    (filled.cache / closed).chmod(0o700)
    done = as_nobody("-m", "modelenv", verb)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{filled.cache}" in done.stdout + done.stderr


def test_the_errors_say_what_to_do(filled: Project, as_nobody: Run) -> None:
    folder = filled.cache / "models--acme--first"
    folder.chmod(0o700)
    done = as_nobody("-m", "modelenv", "list")
    assert done.stderr == (
        "error: a file or folder cannot be used\n"
        f"  found: {folder}/snapshots: Permission denied\n"
        "  what to do: give this user permission, or choose another folder\n"
    )
    done = as_nobody("-m", "modelenv", "doctor")
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert "to fix first: give this user permission to read it" in lines
    found = f"  found: {folder}/snapshots/"
    said = as_nobody("-c", LOAD, "first", "acme/first").stdout.splitlines()
    assert [line.partition(": ")[2] for line in said if not line.startswith(" ")] == [
        "no permission to read its folder"
    ] * 2
    assert said[1].startswith(found)
    assert "  what to do: give this user permission to read it" in said
