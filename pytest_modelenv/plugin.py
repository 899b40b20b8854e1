"""The hooks, each a few lines that delegate. The library is imported only when a test asks for a model."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_modelenv import guards, markers
from pytest_modelenv.fixtures import (
    SESSION,
    mock_models,
    model,
    model_cache_dir,
    model_env,
    model_hub,
    model_manager,
    real_models,
    tiny_model,
)
from pytest_modelenv.options import add_options
from pytest_modelenv.report import HOST, LOADS, Summary, header
from pytest_modelenv.session_cache import ModelSession

__all__ = [
    "mock_models",
    "model",
    "model_cache_dir",
    "model_env",
    "model_hub",
    "model_manager",
    "real_models",
    "tiny_model",
]

SUMMARY = pytest.StashKey[Summary]()
_MISTAKE = "modelenv_mistake"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the guards in place before the first conftest.py is imported."""
    guards.set_up(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and resolve the options."""
    markers.register(config)
    session = config.stash[SESSION] = ModelSession(config)
    guards.register(config)
    if not session.is_worker:
        summary = config.stash[SUMMARY] = Summary()
        config.pluginmanager.register(summary, "modelenv-summary")
    session.start_host()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what belongs to this run alone."""
    if SESSION in config.stash:
        config.stash[SESSION].close()


def pytest_report_header(config: pytest.Config) -> str:
    """Say where models come from."""
    return header(config.stash[SESSION])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the markers, and skip or prepare the tests that have them."""
    try:
        for item in items:
            markers.prepare(item, config.stash[SESSION].options)
    except pytest.UsageError as error:
        if config.stash[SESSION].is_worker:  # an exception does not reach the controller, this does
            config.workeroutput[_MISTAKE] = str(error)  # type: ignore[attr-defined]
        raise


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the model host load what the tests will ask for, while the first of them run."""
    models = session.config.stash[SESSION]
    models.prepare(markers.planned(session.items, models.options.source.value))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Force the source of a test that has one, for its whole run: fixtures of every scope, call and teardown."""
    source = item.stash.get(markers.FORCED_SOURCE, None)
    if source is None:
        return (yield)
    with item.config.stash[SESSION].forcing(source, hosted=item.stash.get(markers.HOSTED, True)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the loads since the last report on this one."""
    report = yield
    loads = item.config.stash[SESSION].take_reports()
    if loads:
        setattr(report, LOADS, loads)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: hand the shared folders to a worker."""
    node.config.stash[SESSION].hand_down(node.workerinput)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist: a worker ended; raise the user's mistake that it found. A crashed worker has no output."""
    mistake = getattr(node, "workeroutput", {}).get(_MISTAKE)
    if mistake is not None:
        raise pytest.UsageError(mistake)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the controller, or the summary, the loads that no test report took along."""
    late = session.config.stash[SESSION].take_reports()
    if session.config.stash[SESSION].is_worker:
        session.config.workeroutput[LOADS] = late  # type: ignore[attr-defined]
    else:
        session.config.stash[SUMMARY].add("", late)
        session.config.stash[SUMMARY].add(HOST, session.config.stash[SESSION].end_host())
