"""All hooks: first those of every run, then those of a run that uses models. Each delegates in a few lines.

The library is imported only when a test uses a model.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv import access, startup
from pytest_modelenv.fixtures import fixtures_of
from pytest_modelenv.option_names import options_are_parsed
from pytest_modelenv.shown_errors import shortened, show_shortened

if TYPE_CHECKING:
    from pytest_modelenv.run import ModelRun

_FIXTURES = "modelenv-fixtures"  # the name of the plugin with the fixtures


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options."""
    config: Any = pluginmanager.get_plugin("pytestconfig")
    startup.add_options(parser, config)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Install the guards, and add the fixtures, before the first conftest.py is imported.

    If tests can have real models, the lock already answers for the Hub.
    """
    _watch(early_config)
    if startup.can_begin_early(early_config):
        access.suite_of(early_config).begin()


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and prepare the use of models if the options ask for it."""
    options_are_parsed(config)
    startup.check_choices(config)
    startup.register_markers(config)
    _watch(config)
    if not startup.can_begin_early(config):
        access.end_early_suite(config)  # it began for an option of the project's own
    if not startup.asks_for_nothing(config):
        suite = access.suite_of(config)
        suite.conftests_imported()
        models = access.models_of(config)
        suite.configure(models)
        models.start_host()
    if config.getoption("tx", None):  # the controller of pytest-xdist: its workers can use models
        access.run_of(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Show where models come from."""
    return startup.FAKES if startup.asks_for_nothing(config) else access.models_of(config).header()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Parse the markers, skip or prepare the tests that have them or use models, and order the tests."""
    names = {startup.gate_marker(config), *startup.MARKERS}
    if any(
        "model_manager" in getattr(item, "fixturenames", ())
        or any(mark.name in names for mark in item.iter_markers())
        for item in items
    ):
        access.run_of(config).prepare_tests(items)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Track what is being collected. Fail its collection if it swallowed the error of a refused access."""
    stash = collector.config.stash
    stash[startup.COLLECTING] = collector.nodeid
    report = yield
    show_shortened(collector, report)
    stash[startup.COLLECTING] = None
    access.reported_run(collector.config)
    if access.GUARDS in stash:
        stash[access.GUARDS].collected(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a test with new fakes, also if another plugin repeats the test."""
    access.scopes_of(item.config).begin_test()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Apply scripts that a fixture of wider scope sets to all tests."""
    __tracebackhide__ = True
    if fixturedef.scope == "function":
        return (yield)
    with access.scopes_of(request.config).shared_by_tests():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Force the source in the test's markers for the whole test: setup, call and teardown."""
    stash = item.config.stash
    stash[startup.RUNNING] = item
    try:
        if startup.FORCED_SOURCE not in item.stash:
            return (yield)
        with access.run_of(item.config).forcing_source_of(item):
            return (yield)
    finally:
        stash[startup.RUNNING] = None
        access.scopes_of(item.config).end_test()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that swallowed the error of a refused access, and attach the latest facts to the report."""
    stash = item.config.stash
    guards = stash.get(access.GUARDS, None)
    is_refusal = guards is not None and guards.before_report(call)
    with shortened(item.config, call):
        report = yield
    if guards is not None and is_refusal:
        guards.shorten(report, call)
    if (run := access.reported_run(item.config)) is not None:
        run.put_facts_on(report, item, used_real_model=access.scopes_of(item.config).used_real_model)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report what was found since the last test report, if the run has not started: else its own hook does."""
    if access.RUN not in session.config.stash and (run := access.reported_run(session.config)) is not None:
        run.finish()


class RunHooks:
    """The hooks of a run that uses models. `access.run_of` registers them when it starts the run."""

    def __init__(self, config: pytest.Config, run: ModelRun) -> None:
        self._config = config
        self._run = run

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the model host to load the models of the tests while the first tests run."""
        if access.GUARDS in self._config.stash:
            self._config.stash[access.GUARDS].collection_ended()
        access.suite_of(self._config).collected()
        self._run.prepare_models(session.items)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test with an invalid marker, or whose locked models cannot be used."""
        if startup.MISTAKE in item.stash:
            pytest.fail(item.stash[startup.MISTAKE], pytrace=False)
        if startup.FORCED_SOURCE in item.stash:
            self._run.check_locked_models(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the facts that are attached to a test report."""
        self._run.take_facts_of(report)

    def pytest_sessionfinish(self) -> None:
        """Report the facts that are not attached to a test report, and stop the host of this run."""
        self._run.finish()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary of what the processes of the run reported."""
        self._run.print_summary(terminalreporter)

    def pytest_unconfigure(self) -> None:
        """Remove what belongs only to this run."""
        self._run.close()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the shared values to a worker of pytest-xdist that is about to start."""
        self._run.hand_down(node.workerinput)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect the output of a worker of pytest-xdist that ended. A crashed worker has none."""
        self._run.worker_ended(node.gateway.id, getattr(node, "workeroutput", {}))


def _watch(config: pytest.Config) -> None:
    """Install what watches the imports of this process and tracks its running test, and add the fixtures, once."""
    if not config.pluginmanager.has_plugin(_FIXTURES):
        config.pluginmanager.register(fixtures_of(config), _FIXTURES)
    config.stash.setdefault(access.RUN_HOOKS, RunHooks)
    access.guard_imports(config)
    access.scopes_of(config)
