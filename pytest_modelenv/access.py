"""Access to the state that modelenv keeps in this process, through pytest's configuration.

Each part is created on first use. The other modules receive what they need from here, or call these functions.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.guards.import_watch import HEAVY, PATCHED, ImportWatch
from pytest_modelenv.scopes import Scopes
from pytest_modelenv.startup import ENDPOINT, GUARDS_OFF, STARTED, hub_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_modelenv.guards.guards import ModelGuards
    from pytest_modelenv.run import ModelRun
    from pytest_modelenv.session_cache import ModelSession

# This process's part of the run. It is set once something in this process uses models.
RUN: pytest.StashKey[ModelRun] = pytest.StashKey()
# Creates the pytest plugin with the hooks for that part.
RUN_HOOKS: pytest.StashKey[Callable[[pytest.Config, ModelRun], object]] = pytest.StashKey()
# The guards of this process. They are set once there is something to guard.
GUARDS: pytest.StashKey[ModelGuards] = pytest.StashKey()
# Tells the library which test is running.
_SCOPES: pytest.StashKey[Scopes] = pytest.StashKey()


def scopes_of(config: pytest.Config) -> Scopes:
    """Return the object that tracks the running test of this process. Installs it on the first call."""
    if _SCOPES not in config.stash:
        config.stash[_SCOPES] = scopes = Scopes()
        scopes.install()
        config.add_cleanup(scopes.uninstall)
    return config.stash[_SCOPES]


def run_of(config: pytest.Config) -> ModelRun:
    """Return this process's part of the run. Starts it on the first call."""
    if RUN not in config.stash:
        from pytest_modelenv.run import ModelRun

        config.stash[RUN] = run = ModelRun(config, lambda: _imports_of(config))
        config.pluginmanager.register(config.stash[RUN_HOOKS](config, run), "modelenv-run")
    return config.stash[RUN]


def models_of(config: pytest.Config) -> ModelSession:
    """Return the models of this process.

    Raises:
        pytest.UsageError: an option is wrong.
    """
    return run_of(config).models


def guards_of(config: pytest.Config) -> ModelGuards:
    """Return the guards of this process. Creates them on the first call."""
    if GUARDS not in config.stash:
        from pytest_modelenv.guards.guards import ModelGuards

        config.stash[GUARDS] = ModelGuards(config, lambda: models_of(config))
        run_of(config)  # it reports what the guards found
    return config.stash[GUARDS]


def guard_imports(config: pytest.Config) -> None:
    """Guard each watched module when it is imported, unless the guards are off."""
    if ENDPOINT in config.stash:
        return  # already done, before the first conftest.py
    config.stash[ENDPOINT], config.stash[STARTED] = hub_endpoint(), time.time()
    if getattr(config.known_args_namespace, "model_guards", None) == GUARDS_OFF:
        return
    watch = ImportWatch((*PATCHED, *HEAVY), lambda name: guards_of(config).importing(name))
    watch.install()
    config.add_cleanup(watch.uninstall)
    present = [name for name in PATCHED if name in sys.modules]
    if present:
        from pytest_modelenv.guards.patches import patch_module

        for name in present:
            for patch in patch_module(name, _LazyGuards(config)):
                config.add_cleanup(patch.undo)


def _imports_of(config: pytest.Config) -> list[dict[str, Any]]:
    """Return the heavy imports measured since the last call, as plain types."""
    return config.stash[GUARDS].imports.take() if GUARDS in config.stash else []


class _LazyGuards:
    """The guards of a process, created when a guarded function is first called."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(guards_of(self._config), name)
