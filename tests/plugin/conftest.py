"""Runs a small user project under pytest, in each mode that could make a difference to the plugin."""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import TYPE_CHECKING

import pytest

import modelenv

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN_INI = """[pytest]
addopts = -p pytest_modelenv.plugin --strict-markers --strict-config -ra
filterwarnings = error
"""
# Most tests are of the guards that refuse, as in a project that declares models.
INI = f"{PLAIN_INI}model_guards = error\n"
THIRD_PARTY = ("filelock", "huggingface_hub.file_download", "huggingface_hub.hf_api", "yaml")


@pytest.fixture(scope="session", autouse=True)
def imported_modules() -> None:
    """Import what a test or its inner run could import: `pytester` removes the modules that were not there before it.

    A module that is imported twice has two copies of its state, such as the endpoint of `huggingface_hub`.
    """
    for module in pkgutil.walk_packages(modelenv.__path__, "modelenv."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    for name in THIRD_PARTY:
        importlib.import_module(name)


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
