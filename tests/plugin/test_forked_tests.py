"""A test that forks: however the child ends, it does not remove what belongs to the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FORKS = """
import os
import tempfile
from pathlib import Path

import pytest

def folders():
    return list(Path(tempfile.gettempdir()).glob("modelenv-run-*"))

@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_ends_the_run_as_far_as_it_can():
    assert len(folders()) == 1
    child = os.fork()
    if not child:
        pytest.exit("the child ends here", returncode=5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5

def test_the_parent_has_its_folder():
    assert len(folders()) == 1
"""


def test_the_folder_of_the_run_is_the_parents(
    project: pytest.Pytester, run_program: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = project.mkdir("t")
    monkeypatch.setenv("TMPDIR", str(temporary))
    project.makepyfile(test_it=FORKS)
    result = run_program("--real-models", "--model-host=off")
    result.assert_outcomes(passed=2)
    assert not list(temporary.glob("modelenv-run-*"))
