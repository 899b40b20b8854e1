"""Runs a small user project under pytest, in each mode that could make a difference to the plugin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import modelenv.fakes

# A run in this process removes the modules that it imports first. So modules that it could import are imported here.
import modelenv.fetching.failures
import modelenv.manager  # noqa: F401 - see above
from modelenv.fakes.registry import FAMILIES, find_family

if TYPE_CHECKING:
    from collections.abc import Callable

for _task in FAMILIES:
    find_family(_task)

PLAIN_INI = """[pytest]
addopts = -p pytest_modelenv.plugin --strict-markers --strict-config -ra
filterwarnings = error
"""
# Most tests are of the guards that refuse, as in a project that declares models.
INI = f"{PLAIN_INI}model_guards = error\n"


@pytest.fixture
def project(
    pytester: pytest.Pytester, make_environ: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A user's project: an empty folder, and an environment without variables from outside.

    Only the plugins that a run names are loaded. This saves most of its startup time.
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
    """A function that runs the project in this process. Workers of pytest-xdist are still separate processes."""
    return project.runpytest_inprocess


@pytest.fixture
def run_program(project: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """A function that runs the project in a separate process."""

    def run(*args: str, timeout: float = 250) -> pytest.RunResult:
        return project.runpytest_subprocess(*args, timeout=timeout)

    return run
