"""A run that uses models: what one of its processes keeps, and the facts that the processes report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pytest

from pytest_modelenv.options import MOCK_MODELS
from pytest_modelenv.report import HOST, print_summary
from pytest_modelenv.session_cache import ModelSession
from pytest_modelenv.startup import ENDPOINT, ENDPOINT_OF_RUN, FORCED_SOURCE, START_OF_RUN, STARTED

# The kinds of facts: as attributes of test reports, and keys of a worker's output.
_LOADS, _IMPORTS, _IDLE = "modelenv_loads", "modelenv_imports", "modelenv_idle"
_MISTAKE = "modelenv_mistake"  # the key under which a worker's output has a mistake of the user's


class ModelRun:
    """One process's part of a run that uses models.

    Args:
        config: pytest's configuration.
        take_imports: returns the heavy imports since its last call, as plain types.
    """

    def __init__(self, config: pytest.Config, take_imports: Callable[[], list[dict[str, Any]]]) -> None:
        self._config = config
        self._take_imports = take_imports
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

    def prepare_models(self, items: list[pytest.Item]) -> None:
        """Have the model host load what the tests will ask for, while the first of them run."""
        if self._has_models:
            self.models.prepare(items)

    def put_facts_on(self, report: pytest.TestReport, item: pytest.Item, *, used_real_model: bool) -> None:
        """Put what happened in this process since the last report on this one: it travels even if this crashes."""
        facts = self._take_facts()
        if facts:
            vars(report).update(facts)
        is_real = item.stash.get(FORCED_SOURCE, MOCK_MODELS) != MOCK_MODELS
        if is_real and report.when == "call" and report.passed and not used_real_model:
            vars(report)[_IDLE] = [{"test": item.nodeid}]

    def take_facts_of(self, report: pytest.TestReport) -> None:
        """Take the facts that a test report brought along; a crashed worker has fewer, no more."""
        if not self._is_worker:
            self._add(getattr(report, "worker_id", ""), vars(report))

    def finish(self) -> None:
        """Give the controller, or the summary, the facts that no test report took along."""
        facts = self._take_facts()
        if self._is_worker:
            self._config.workeroutput.update(facts)  # type: ignore[attr-defined]
            return
        self._add("", facts)
        if self._has_models:
            self._add(HOST, {_LOADS: self.models.end_host()})

    def print_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what the processes of the run reported."""
        idle = [fact["test"] for _, fact in self._facts[_IDLE]]
        print_summary(terminalreporter, self._facts[_LOADS], self._facts[_IMPORTS], idle)

    def close(self) -> None:
        """Remove what belongs to this run alone."""
        if self._has_models:
            self.models.close()

    def hand_down(self, workerinput: dict[str, Any]) -> None:
        """Give a worker of pytest-xdist the shared folders, and the endpoint and the start of the run."""
        self.models.hand_down(workerinput)
        workerinput[ENDPOINT_OF_RUN] = self._config.stash[ENDPOINT]
        workerinput[START_OF_RUN] = self._config.stash[STARTED]

    def worker_ended(self, worker: str, output: Mapping[str, Any]) -> None:
        """Take the facts of a worker that ended.

        Raises:
            pytest.UsageError: it found a mistake of the user's.
        """
        self._add(worker, output)
        if _MISTAKE in output:
            raise pytest.UsageError(output[_MISTAKE])

    def _take_facts(self) -> dict[str, list[dict[str, Any]]]:
        """Return what happened in this process since the last call, as plain types; nothing of an empty kind."""
        facts = {}
        if self._has_models and (loads := self.models.take_reports()):
            facts[_LOADS] = loads
        if imports := self._take_imports():
            facts[_IMPORTS] = imports
        return facts

    def _add(self, worker: str, facts: Mapping[str, Any]) -> None:
        """Add facts of one worker, by kind; without pytest-xdist its name is empty. Other keys are passed over."""
        for kind, known in self._facts.items():
            if kind in facts:
                known += [(worker, fact) for fact in facts[kind]]
