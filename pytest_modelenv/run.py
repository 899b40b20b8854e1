"""A run that uses models: what its processes keep and report, and the hooks that only such a run needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pytest

from pytest_modelenv.options import MOCK_MODELS
from pytest_modelenv.report import HOST, print_summary
from pytest_modelenv.session_cache import ModelSession
from pytest_modelenv.startup import ENDPOINT, ENDPOINT_OF_RUN, FORCED_SOURCE, GUARDS, SCOPES, START_OF_RUN, STARTED

# The kinds of facts: as attributes of test reports, and keys of a worker's output.
_LOADS, _IMPORTS, _IDLE = "modelenv_loads", "modelenv_imports", "modelenv_idle"
_MISTAKE = "modelenv_mistake"  # the key under which a worker's output has a mistake of the user's


class ModelRun:
    """One process's part of a run that uses models; a plugin of pytest, registered by `startup.run_of`.

    Args:
        config: pytest's configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        self._facts: dict[str, list[tuple[str, dict[str, Any]]]] = {_LOADS: [], _IMPORTS: [], _IDLE: []}

    @cached_property
    def models(self) -> ModelSession:
        """The models of this process.

        Raises:
            pytest.UsageError: an option is wrong.
        """
        return ModelSession(self._config)

    @property
    def _has_models(self) -> bool:
        return "models" in vars(self)

    def prepare_tests(self, items: list[pytest.Item]) -> None:
        """Read the markers of collected tests, skip or prepare them, and put them into the order of the plan.

        Raises:
            pytest.UsageError: an option is wrong.
        """
        from pytest_modelenv.markers import prepare, project_uses_models

        uses_models = project_uses_models(self._config)
        try:
            options = self.models.options
            for item in items:
                prepare(item, options, asked=uses_models or options.real_models)
        except pytest.UsageError as error:
            if self._is_worker:  # an exception does not reach the controller, this does
                self._config.workeroutput[_MISTAKE] = str(error)  # type: ignore[attr-defined]
            raise
        if options.plans:
            from pytest_modelenv.planning import planned_by_module, planned_order, real_model_of

            order = planned_order if self._is_worker else planned_by_module
            items[:] = order(items, real_model_of)

    @contextmanager
    def forcing_source_of(self, item: pytest.Item) -> Iterator[None]:
        """Force the source that the test's markers ask for."""
        from pytest_modelenv.markers import is_hosted

        with self.models.forcing(item.stash[FORCED_SOURCE], hosted=is_hosted(item)):
            yield

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have the model host load what the tests will ask for, while the first of them run."""
        if GUARDS in self._config.stash:
            self._config.stash[GUARDS].collection_ended()
        if self._has_models:
            self.models.prepare(session.items)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test with a wrong marker."""
        from pytest_modelenv.markers import MISTAKE

        if MISTAKE in item.stash:
            pytest.fail(item.stash[MISTAKE], pytrace=False)

    def put_facts_on(self, report: pytest.TestReport, item: pytest.Item) -> None:
        """Put what happened in this process since the last report on this one: it travels even if this crashes."""
        facts = self._take_facts()
        if facts:
            vars(report).update(facts)
        is_real = item.stash.get(FORCED_SOURCE, MOCK_MODELS) != MOCK_MODELS
        if is_real and report.when == "call" and report.passed and not item.config.stash[SCOPES].used_real_model:
            vars(report)[_IDLE] = [{"test": item.nodeid}]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the facts that a test report brought along; a crashed worker has fewer, no more."""
        if not self._is_worker:
            self._add(getattr(report, "worker_id", ""), vars(report))

    def pytest_sessionfinish(self) -> None:
        """Give the controller, or the summary, the facts that no test report took along."""
        facts = self._take_facts()
        if self._is_worker:
            self._config.workeroutput.update(facts)  # type: ignore[attr-defined]
            return
        self._add("", facts)
        if self._has_models:
            self._add(HOST, {_LOADS: self.models.end_host()})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what the processes of the run reported."""
        idle = [fact["test"] for _, fact in self._facts[_IDLE]]
        print_summary(terminalreporter, self._facts[_LOADS], self._facts[_IMPORTS], idle)

    def pytest_unconfigure(self) -> None:
        """Remove what belongs to this run alone."""
        if self._has_models:
            self.models.close()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """pytest-xdist: hand the shared folders, and the endpoint and the start of the run, to a worker."""
        self.models.hand_down(node.workerinput)
        node.workerinput[ENDPOINT_OF_RUN] = self._config.stash[ENDPOINT]
        node.workerinput[START_OF_RUN] = self._config.stash[STARTED]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker ended; raise the user's mistake that it found. A crashed worker has no output."""
        output = getattr(node, "workeroutput", {})
        self._add(node.gateway.id, output)
        if _MISTAKE in output:
            raise pytest.UsageError(output[_MISTAKE])

    def _take_facts(self) -> dict[str, list[dict[str, Any]]]:
        """Return what happened in this process since the last call, as plain types; nothing of an empty kind."""
        facts = {}
        if self._has_models and (loads := self.models.take_reports()):
            facts[_LOADS] = loads
        guards = self._config.stash.get(GUARDS, None)
        if guards is not None and (imports := guards.imports.take()):
            facts[_IMPORTS] = imports
        return facts

    def _add(self, worker: str, facts: Mapping[str, Any]) -> None:
        """Add facts of one worker, by kind; without pytest-xdist its name is empty. Other keys are passed over."""
        for kind, known in self._facts.items():
            if kind in facts:
                known += [(worker, fact) for fact in facts[kind]]
