"""What modelenv keeps in this process, reached through pytest's configuration; each part is made on first use.

Every other module gets what it needs handed in by this one, or asks here.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.guards.import_watch import HEAVY, WITH_DOORS, ImportWatch
from pytest_modelenv.scopes import Scopes
from pytest_modelenv.startup import ENDPOINT, GUARDS_OFF, STARTED, hub_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_modelenv.guards.guards import ModelGuards
    from pytest_modelenv.run import ModelRun
    from pytest_modelenv.session_cache import ModelSession

# This process's part of the run, once something of it uses models.
RUN: pytest.StashKey[ModelRun] = pytest.StashKey()
# Makes the plugin of pytest with the hooks of that part.
RUN_HOOKS: pytest.StashKey[Callable[[pytest.Config, ModelRun], object]] = pytest.StashKey()
# The guards of this process, once there is something to guard.
GUARDS: pytest.StashKey[ModelGuards] = pytest.StashKey()
# What tells the library which test runs.
_SCOPES: pytest.StashKey[Scopes] = pytest.StashKey()


def scopes_of(config: pytest.Config) -> Scopes:
    """Return what knows the running test of this process, put in place now if it was not."""
    if _SCOPES not in config.stash:
        config.stash[_SCOPES] = scopes = Scopes()
        scopes.install()
        config.add_cleanup(scopes.uninstall)
    return config.stash[_SCOPES]


def run_of(config: pytest.Config) -> ModelRun:
    """Return this process's part of the run, begun now if it was not."""
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
    """Return the guards of this process, made now if they were not."""
    if GUARDS not in config.stash:
        from pytest_modelenv.guards.guards import ModelGuards

        config.stash[GUARDS] = ModelGuards(config, lambda: models_of(config))
        run_of(config)  # it reports what the guards have seen
    return config.stash[GUARDS]


def guard_imports(config: pytest.Config) -> None:
    """Put a guard before each watched module when it is imported, unless the guards are switched off."""
    if ENDPOINT in config.stash:
        return  # done already, before the first conftest.py
    config.stash[ENDPOINT], config.stash[STARTED] = hub_endpoint(), time.time()
    if getattr(config.known_args_namespace, "model_guards", None) == GUARDS_OFF:
        return
    watch = ImportWatch((*WITH_DOORS, *HEAVY), lambda name: guards_of(config).importing(name))
    watch.install()
    config.add_cleanup(watch.uninstall)
    present = [name for name in WITH_DOORS if name in sys.modules]
    if present:
        from pytest_modelenv.guards.patches import close_doors

        for name in present:
            for closed in close_doors(name, _GuardsWhenAsked(config)):
                config.add_cleanup(closed.reopen)


def _imports_of(config: pytest.Config) -> list[dict[str, Any]]:
    """Return the heavy imports that the guards measured since the last call, as plain types."""
    return config.stash[GUARDS].imports.take() if GUARDS in config.stash else []


class _GuardsWhenAsked:
    """The guards of a process, made when the first door that they stand before is used."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(guards_of(self._config), name)
