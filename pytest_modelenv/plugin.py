"""The hooks, each a few lines that delegate. The library is imported only when a test asks for a model.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_modelenv import startup
from pytest_modelenv.fixtures import (
    fixtures_of,
    mock_models,
    model_cache_dir,
    model_env,
    model_hub,
    model_hub_server,
    real_models,
    tiny_model,
)
from pytest_modelenv.guards.import_watch import guard_imports
from pytest_modelenv.scopes import Scopes
from pytest_modelenv.shown_errors import shortened, show_shortened

__all__ = [
    "mock_models",
    "model_cache_dir",
    "model_env",
    "model_hub",
    "model_hub_server",
    "real_models",
    "tiny_model",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    startup.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the guards in place before the first conftest.py is imported."""
    guard_imports(early_config)
    _scopes_of(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and begin the run of models where there will be one."""
    startup.register_markers(config)
    config.pluginmanager.register(fixtures_of(config), "modelenv-fixtures")
    guard_imports(config)
    _scopes_of(config)
    if not startup.asks_for_nothing(config):
        startup.models_of(config).start_host()
    if config.getoption("tx", None):  # the controller of pytest-xdist: its workers may use models
        startup.run_of(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Say where models come from."""
    return startup.FAKES if startup.asks_for_nothing(config) else startup.models_of(config).header()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the markers, skip or prepare the tests that have them or use models, and put the tests in order."""
    names = {startup.gate_marker(config), *startup.MARKERS}
    if any(
        "model_manager" in getattr(item, "fixturenames", ())
        or any(mark.name in names for mark in item.iter_markers())
        for item in items
    ):
        startup.run_of(config).prepare_tests(items)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Know what is collected, and let it fail with an access to a real model that it swallowed."""
    stash = collector.config.stash
    stash[startup.COLLECTING] = collector.nodeid
    report = yield
    show_shortened(collector, report)
    stash[startup.COLLECTING] = None
    if startup.GUARDS in stash:
        stash[startup.GUARDS].collected(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a test, once more where another plugin repeats it: fakes are its own."""
    _scopes_of(item.config).begin_test()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Let what a fixture of wider scope scripts hold in all tests."""
    __tracebackhide__ = True
    if fixturedef.scope == "function":
        return (yield)
    with _scopes_of(request.config).shared_by_tests():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Force the source of a test that has one, for its whole run: fixtures of every scope, call and teardown."""
    stash = item.config.stash
    stash[startup.RUNNING] = item
    try:
        if startup.FORCED_SOURCE not in item.stash:
            return (yield)
        with startup.run_of(item.config).forcing_source_of(item):
            return (yield)
    finally:
        stash[startup.RUNNING] = None
        _scopes_of(item.config).end_test()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail with an access that it swallowed, and put the facts since the last report on this one."""
    guards = item.config.stash.get(startup.GUARDS, None)
    is_refusal = guards is not None and guards.before_report(call)
    with shortened(item.config, call):
        report = yield
    if guards is not None and is_refusal:
        guards.shorten(report, call)
    if startup.RUN in item.config.stash:
        item.config.stash[startup.RUN].put_facts_on(report, item)
    return report


def _scopes_of(config: pytest.Config) -> Scopes:
    """Return what knows the running test of this process, put in place now if it was not."""
    if startup.SCOPES not in config.stash:
        config.stash[startup.SCOPES] = scopes = Scopes()
        scopes.install()
        config.add_cleanup(scopes.uninstall)
    return config.stash[startup.SCOPES]
