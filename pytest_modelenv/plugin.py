"""The hooks, each a few lines that delegate. The library is imported only when a test asks for a model.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv import startup
from pytest_modelenv.fixtures import (
    mock_models,
    model,
    model_cache_dir,
    model_env,
    model_hub,
    model_manager,
    real_models,
    tiny_model,
)
from pytest_modelenv.import_watch import guard_imports

if TYPE_CHECKING:
    from pytest_modelenv.report import RunFacts

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

_FACTS: pytest.StashKey[RunFacts] = pytest.StashKey()
_MISTAKE = "modelenv_mistake"  # the key under which a worker's output has a mistake of the user's


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    startup.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the guards in place before the first conftest.py is imported."""
    guard_imports(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and resolve the options if there are any."""
    for line in startup.MARKERS.values():
        config.addinivalue_line("markers", line)
    guard_imports(config)
    if not startup.asks_for_nothing(config):
        startup.models_of(config).start_host()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what belongs to this run alone."""
    if startup.SESSION in config.stash:
        config.stash[startup.SESSION].close()


def pytest_report_header(config: pytest.Config) -> str:
    """Say where models come from."""
    return startup.FAKES if startup.asks_for_nothing(config) else startup.models_of(config).header()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the markers, and skip or prepare the tests that have them."""
    marked = [item for item in items if any(mark.name in startup.MARKERS for mark in item.iter_markers())]
    if not marked:
        return
    from pytest_modelenv.markers import prepare

    models = startup.models_of(config)
    try:
        for item in marked:
            prepare(item, models.options)
    except pytest.UsageError as error:
        if models.is_worker:  # an exception does not reach the controller, this does
            config.workeroutput[_MISTAKE] = str(error)  # type: ignore[attr-defined]
        raise


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the model host load what the tests will ask for, while the first of them run."""
    if startup.SESSION in session.config.stash:
        session.config.stash[startup.SESSION].prepare(session.items)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Know what is collected, and let it fail with an access to a real model that it swallowed."""
    stash = collector.config.stash
    stash[startup.COLLECTING] = collector.nodeid
    report = yield
    stash[startup.COLLECTING] = None
    if startup.GUARDS in stash:
        stash[startup.GUARDS].collected(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Force the source of a test that has one, for its whole run: fixtures of every scope, call and teardown."""
    stash = item.config.stash
    stash[startup.RUNNING] = item
    try:
        source = item.stash.get(startup.FORCED_SOURCE, None)
        if source is None:
            return (yield)
        from pytest_modelenv.markers import is_hosted

        with startup.models_of(item.config).forcing(source, hosted=is_hosted(item)):
            return (yield)
    finally:
        stash[startup.RUNNING] = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail with an access that it swallowed, and put the facts since the last report on this one."""
    guards = item.config.stash.get(startup.GUARDS, None)
    if guards is not None:
        guards.before_report(call)
    report = yield
    facts = _new_facts(item.config)
    if facts:
        if hasattr(item.config, "workerinput"):
            vars(report).update(facts)  # they travel to the controller even if this worker crashes
        else:
            _facts_of(item.config).add("", facts)
    return report


def _new_facts(config: pytest.Config) -> dict[str, list[dict[str, Any]]]:
    """Return what happened in this process since the last call, as plain types, by kind."""
    if startup.SESSION not in config.stash and startup.GUARDS not in config.stash:
        return {}
    from pytest_modelenv.report import take_facts

    return take_facts(config.stash.get(startup.SESSION, None), config.stash.get(startup.GUARDS, None))


def _facts_of(config: pytest.Config) -> RunFacts:
    """Return the facts of the whole run, in the process that talks to the user."""
    if _FACTS not in config.stash:
        from pytest_modelenv.report import RunFacts

        config.stash[_FACTS] = RunFacts()
    return config.stash[_FACTS]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: hand the shared folders, and the endpoint of the run, to a worker, and listen to its reports."""
    config = node.config
    startup.models_of(config).hand_down(node.workerinput)
    node.workerinput[startup.ENDPOINT_OF_RUN] = config.stash[startup.ENDPOINT]
    if not config.pluginmanager.is_registered(_facts_of(config)):
        config.pluginmanager.register(_facts_of(config), "modelenv-facts")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist: a worker ended; raise the user's mistake that it found. A crashed worker has no output."""
    output = getattr(node, "workeroutput", {})
    _facts_of(node.config).add(node.gateway.id, output)
    if _MISTAKE in output:
        raise pytest.UsageError(output[_MISTAKE])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the controller, or the summary, the facts that no test report took along."""
    config = session.config
    facts = _new_facts(config)
    if hasattr(config, "workeroutput"):
        config.workeroutput.update(facts)
        return
    if facts:
        _facts_of(config).add("", facts)
    if startup.SESSION in config.stash:
        _facts_of(config).add_hosted(config.stash[startup.SESSION].end_host())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the processes of the run reported."""
    if _FACTS in config.stash:
        config.stash[_FACTS].print_summary(terminalreporter)
