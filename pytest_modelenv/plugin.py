"""The hooks, each a few lines that delegate. The library is imported only when a test asks for a model.

PYTEST_DONT_REWRITE: there is no assertion here to rewrite, and every test run would pay for looking.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import pytest

from pytest_modelenv import markers
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
from pytest_modelenv.import_watch import GUARD_OPTIONS, GUARDS, guard_imports
from pytest_modelenv.options import ENDPOINT, add_options
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

# The attributes of test reports, and the keys of a worker's output, in which facts travel to the controller.
LOADS, IMPORTS = "modelenv_loads", "modelenv_imports"
_MISTAKE = "modelenv_mistake"


class RunFacts:
    """Collects what the processes of a run report, and prints it at the end.

    A plugin of its own, in the process that talks to the user. A worker that crashed has fewer facts, no more.
    """

    def __init__(self) -> None:
        self._facts: dict[str, list[tuple[str, dict[str, Any]]]] = {LOADS: [], IMPORTS: []}

    def add(self, kind: str, worker: str, facts: Iterable[dict[str, Any]]) -> None:
        """Add facts of one worker; without pytest-xdist its name is empty."""
        self._facts[kind] += [(worker, fact) for fact in facts]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the facts that a test report brought along."""
        for kind in self._facts:
            self.add(kind, getattr(report, "worker_id", ""), getattr(report, kind, ()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: take the facts that no test report took along."""
        for kind in self._facts:
            self.add(kind, node.gateway.id, getattr(node, "workeroutput", {}).get(kind, ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what there is."""
        if any(self._facts.values()):
            from pytest_modelenv.report import print_summary

            print_summary(terminalreporter, self._facts[LOADS], self._facts[IMPORTS])


FACTS = pytest.StashKey[RunFacts]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the guards in place before the first conftest.py is imported."""
    guard_imports(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and resolve the options."""
    markers.register(config)
    session = config.stash[SESSION] = ModelSession(config)
    guard_imports(config)
    if not session.is_worker:
        facts = config.stash[FACTS] = RunFacts()
        config.pluginmanager.register(facts, "modelenv-facts")
    session.start_host()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what belongs to this run alone."""
    if SESSION in config.stash:
        config.stash[SESSION].close()


def pytest_report_header(config: pytest.Config) -> str:
    """Say where models come from."""
    return config.stash[SESSION].header()


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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Know what is collected, and let it fail with an access to a real model that it swallowed."""
    stash = collector.config.stash
    stash[markers.COLLECTING] = collector.nodeid
    report = yield
    stash[markers.COLLECTING] = None
    if GUARDS in stash:
        stash[GUARDS].collected(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Force the source of a test that has one, for its whole run: fixtures of every scope, call and teardown."""
    stash = item.config.stash
    stash[markers.RUNNING] = item
    try:
        source = item.stash.get(markers.FORCED_SOURCE, None)
        if source is None:
            return (yield)
        with stash[SESSION].forcing(source, hosted=item.stash.get(markers.HOSTED, True)):
            return (yield)
    finally:
        stash[markers.RUNNING] = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail with an access that it swallowed, and put the facts since the last report on this one."""
    guards = item.config.stash.get(GUARDS, None)
    if guards is not None:
        guards.before_report(call)
    report = yield
    for kind, facts in _take_facts(item.config).items():
        if facts:
            setattr(report, kind, facts)
    return report


def _take_facts(config: pytest.Config) -> dict[str, list[dict[str, Any]]]:
    guards = config.stash.get(GUARDS, None)
    return {
        LOADS: config.stash[SESSION].take_reports(),
        IMPORTS: [] if guards is None else guards.imports.take(),
    }


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: hand the shared folders, and the endpoint of the run, to a worker."""
    node.config.stash[SESSION].hand_down(node.workerinput)
    node.workerinput[ENDPOINT] = node.config.stash[GUARD_OPTIONS].endpoint


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist: a worker ended; raise the user's mistake that it found. A crashed worker has no output."""
    mistake = getattr(node, "workeroutput", {}).get(_MISTAKE)
    if mistake is not None:
        raise pytest.UsageError(mistake)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the controller, or the summary, the facts that no test report took along."""
    models = session.config.stash[SESSION]
    facts = _take_facts(session.config)
    if models.is_worker:
        session.config.workeroutput.update(facts)  # type: ignore[attr-defined]
        return
    for kind, late in facts.items():
        session.config.stash[FACTS].add(kind, "", late)
    prepared = models.end_host()
    if prepared:
        from pytest_modelenv.report import HOST

        session.config.stash[FACTS].add(LOADS, HOST, prepared)
