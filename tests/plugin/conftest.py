"""Running a small project of a user under pytest, in each mode in which the plugin could differ."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import modelenv.fakes

# A run in this process drops what it imported first; so what it may import is imported here.
import modelenv.fetching.failures
import modelenv.manager  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

INI = """[pytest]
addopts = -p pytest_modelenv.plugin --strict-markers --strict-config -ra
filterwarnings = error
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, make_environ: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A user's project: an empty folder, and an environment with nothing from outside.

    Only the plugins that a run names are loaded, which saves most of its start.
    """
    environ = make_environ(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    for name in set(os.environ) - set(environ) - {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "PYTEST_DEBUG_TEMPROOT"}:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    pytester.makeini(INI)
    return pytester


@pytest.fixture
def run_tests(project: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs the project in this process; workers of pytest-xdist are processes all the same."""
    return project.runpytest_inprocess


@pytest.fixture
def run_program(project: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs the project in a process of its own."""

    def run(*args: str, timeout: float = 250) -> pytest.RunResult:
        return project.runpytest_subprocess(*args, timeout=timeout)

    return run
