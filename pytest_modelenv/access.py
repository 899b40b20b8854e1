"""Access to the state that modelenv keeps in this process, through pytest's configuration.

Each part is created on first use. The other modules receive what they need from here, or call these functions.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.guards.import_watch import HEAVY, PATCHED, WATCHED, ImportWatch
from pytest_modelenv.scopes import Scopes
from pytest_modelenv.startup import (
    ENDPOINT,
    GUARDS_ERROR,
    GUARDS_OFF,
    IMPORTS,
    REQUESTS,
    STARTED,
    guards_mode,
    hub_endpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_modelenv.guards.guards import ModelGuards
    from pytest_modelenv.guards.watching import HubWatch
    from pytest_modelenv.run import ModelRun
    from pytest_modelenv.session_cache import ModelSession
    from pytest_modelenv.suite import SuiteEnvironment

# This process's part of the run. It is set once something in this process uses models.
RUN: pytest.StashKey[ModelRun] = pytest.StashKey()
# Creates the pytest plugin with the hooks for that part.
RUN_HOOKS: pytest.StashKey[Callable[[pytest.Config, ModelRun], object]] = pytest.StashKey()
# The guards of this process. They are set once there is something to guard.
GUARDS: pytest.StashKey[ModelGuards] = pytest.StashKey()
# What counts the requests to the Hub in the mode `report`, once there is something to watch; empty before.
_HUB_WATCH: pytest.StashKey[dict[str, HubWatch]] = pytest.StashKey()
# What is installed in this process.
_INSTALLED: pytest.StashKey[_Installed] = pytest.StashKey()
# The environment outside of tests that force another one.
_SUITE: pytest.StashKey[SuiteEnvironment] = pytest.StashKey()
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

        config.stash[RUN] = run = ModelRun(config, suite_of(config).locked, lambda: _facts_of(config))
        config.pluginmanager.register(config.stash[RUN_HOOKS](config, run), "modelenv-run")
    return config.stash[RUN]


def suite_of(config: pytest.Config) -> SuiteEnvironment:
    """Return the environment outside of tests that force another one. Creates it on the first call."""
    if _SUITE not in config.stash:
        from pytest_modelenv.suite import SuiteEnvironment

        config.stash[_SUITE] = suite = SuiteEnvironment(config)
        config.add_cleanup(suite.close)
    return config.stash[_SUITE]


def end_early_suite(config: pytest.Config) -> None:
    """End what began before each conftest.py was imported, if anything did."""
    if _SUITE in config.stash:
        config.stash[_SUITE].collected()


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
    return config.stash[GUARDS]


def guard_imports(config: pytest.Config) -> None:
    """Guard each watched module when it is imported, or count its requests to the Hub, as the mode says.

    This is called before the first conftest.py and again when pytest is configured: only then does a worker of
    pytest-xdist know the mode of the run, which can differ from that of its own folder.
    """
    if ENDPOINT not in config.stash:
        config.stash[ENDPOINT], config.stash[STARTED] = hub_endpoint(), time.time()
        config.stash[_HUB_WATCH] = {}
    mode, before = guards_mode(config), config.stash.get(_INSTALLED, None)
    if before is not None:
        if before.mode == mode:
            return
        before.undo.close()
    installed = config.stash[_INSTALLED] = _Installed(mode)
    config.add_cleanup(installed.undo.close)
    if mode == GUARDS_OFF:
        return
    if mode == GUARDS_ERROR:
        guards_of(config)  # now: later, several threads could create them at the same time
    names = PATCHED if mode == GUARDS_ERROR else WATCHED
    watch = ImportWatch((*names, *HEAVY), lambda name: _importing(config, name))
    watch.install()
    installed.undo.callback(watch.uninstall)
    for name in names:
        if name in sys.modules:
            _patch(config, name)


@contextmanager
def _importing(config: pytest.Config, name: str) -> Iterator[None]:
    """Context manager: import a watched module, then patch it."""
    __tracebackhide__ = True
    if name in HEAVY:
        with guards_of(config).importing(name):
            yield
    else:
        yield
        _patch(config, name)


def _patch(config: pytest.Config, name: str) -> None:
    """Patch the functions of an imported module to call the guards, or to count their requests, as the mode says."""
    installed = config.stash[_INSTALLED]
    if installed.mode == GUARDS_ERROR:
        from pytest_modelenv.guards.patches import patch_module

        patches = patch_module(name, guards_of(config))
    else:
        from pytest_modelenv.guards.watched_calls import watch_module

        patches = watch_module(name, _hub_watch_of(config))
    for each in patches:
        installed.undo.callback(each.undo)


def _hub_watch_of(config: pytest.Config) -> HubWatch:
    """Return what counts this process's requests to the Hub. Creates it on the first call, in any thread."""
    created = config.stash[_HUB_WATCH]
    if not created:
        from pytest_modelenv.guards.watching import HubWatch

        created.setdefault("watch", HubWatch(config))  # atomic
    return created["watch"]


def reported_run(config: pytest.Config) -> ModelRun | None:
    """Return this process's part of the run, or None. Starts it if there is something to report.

    Only hooks call this: code under test can import and send requests in any thread.
    """
    has_imports = GUARDS in config.stash and config.stash[GUARDS].imports.found
    if has_imports or any(watch.found for watch in config.stash[_HUB_WATCH].values()):
        return run_of(config)
    return config.stash.get(RUN, None)


def _facts_of(config: pytest.Config) -> dict[str, list[dict[str, Any]]]:
    """Return the heavy imports and the requests to the Hub since the last call, as plain types."""
    return {
        IMPORTS: config.stash[GUARDS].imports.take() if GUARDS in config.stash else [],
        REQUESTS: [fact for watch in config.stash[_HUB_WATCH].values() for fact in watch.take()],
    }


class _Installed:
    """The guards that are installed in this process: their mode, and what uninstalls them."""

    __slots__ = ("mode", "undo")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.undo = ExitStack()
