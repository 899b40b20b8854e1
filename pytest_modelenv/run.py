"""A run that uses models: the state of one of its processes, and the facts that the processes report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.locked_models import LockedModels
from pytest_modelenv.options import MOCK_MODELS
from pytest_modelenv.report import HOST, idle_lines, print_summary, summary_lines
from pytest_modelenv.session_cache import ModelSession
from pytest_modelenv.startup import (
    ENDPOINT,
    ENDPOINT_OF_RUN,
    FORCED_SOURCE,
    GUARDS_OF_RUN,
    IMPORTS,
    REQUESTS,
    START_OF_RUN,
    STARTED,
    guards_mode,
)

if TYPE_CHECKING:
    from modelenv.loading.reports import LoadReport, Notice

# More kinds of facts: attributes of test reports, and keys of a worker's output.
_LOADS, _NOTICES, _IDLE = "modelenv_loads", "modelenv_notices", "modelenv_idle"
_LOCKED = "modelenv_locked"  # what unchanged code got from the lock
_MISTAKE = "modelenv_mistake"  # the key of a usage error in a worker's output
# Why the lock cannot answer for a test.
_TROUBLE = pytest.StashKey[str]()


class ModelRun:
    """One process's part of a run that uses models.

    Args:
        config: pytest's configuration.
        locked: What answers for the Hub from the lock.
        take_facts: Returns the heavy imports and the requests to the Hub since its last call, as plain types.
    """

    def __init__(
        self,
        config: pytest.Config,
        locked: LockedModels,
        take_facts: Callable[[], Mapping[str, list[dict[str, Any]]]],
    ) -> None:
        self._config = config
        self._locked = locked
        self._take_more_facts = take_facts
        self._facts: dict[str, list[tuple[str, dict[str, Any]]]] = {
            kind: [] for kind in (_LOADS, _NOTICES, _LOCKED, _IDLE, IMPORTS, REQUESTS)
        }

    @property
    def _is_worker(self) -> bool:
        """Whether this process is a worker of pytest-xdist. It does not know that before it is configured."""
        return hasattr(self._config, "workerinput")

    @cached_property
    def models(self) -> ModelSession:
        """The models of this process.

        Raises:
            pytest.UsageError: An option is invalid.
        """
        return ModelSession(self._config, self._locked)

    @property
    def _has_models(self) -> bool:
        return "models" in vars(self)

    def prepare_tests(self, items: list[pytest.Item]) -> None:
        """Parse the markers of the collected tests, skip or prepare the tests, and order them.

        Raises:
            pytest.UsageError: An option is invalid.
        """
        from pytest_modelenv.gate import prepare, project_uses_models

        uses_models = project_uses_models(self._config)
        try:
            options = self.models.options
            for item in items:
                prepare(item, options, asked=uses_models or options.real_models)
        except pytest.UsageError as error:
            if self._is_worker:  # an exception does not reach the controller, but the output does
                self._config.workeroutput[_MISTAKE] = str(error)  # type: ignore[attr-defined]
            raise
        if options.plans:
            from pytest_modelenv.planning import planned_by_module, planned_order, real_model_of

            order = planned_order if self._is_worker else planned_by_module
            items[:] = order(items, real_model_of)

    @contextmanager
    def forcing_source_of(self, item: pytest.Item) -> Iterator[None]:
        """Context manager: force the source in the test's markers. The lock answers for the Hub if it is real."""
        from modelenv.errors import ModelEnvError
        from pytest_modelenv.gate import is_hosted

        source, installation = item.stash[FORCED_SOURCE], None
        try:
            installation = self.models.installation(source, item)
        except ModelEnvError as error:
            item.stash[_TROUBLE] = str(error)
        with self.models.forcing(source, hosted=is_hosted(item), installation=installation):
            yield

    def check_locked_models(self, item: pytest.Item) -> None:
        """Fail a test whose locked models cannot be used. Called in its setup."""
        from modelenv.errors import ModelEnvError

        if _TROUBLE in item.stash:
            pytest.fail(item.stash[_TROUBLE], pytrace=False)
        try:
            self._locked.prepare()
        except ModelEnvError as error:
            pytest.fail(str(error), pytrace=False)

    def prepare_models(self, items: list[pytest.Item]) -> None:
        """Tell the model host to load the models of the tests while the first tests run."""
        if self._has_models:
            self.models.prepare(items)

    def put_facts_on(self, report: pytest.TestReport, item: pytest.Item, *, used_real_model: bool) -> None:
        """Attach the facts since the last report to this one. So they reach the controller before any crash."""
        facts = self._take_facts()
        if facts:
            vars(report).update(facts)
        is_real = item.stash.get(FORCED_SOURCE, MOCK_MODELS) != MOCK_MODELS
        if is_real and report.when == "call" and report.passed and not used_real_model:
            vars(report)[_IDLE] = [{"test": item.nodeid}]

    def take_facts_of(self, report: pytest.TestReport) -> None:
        """Collect the facts that are attached to a test report."""
        if not self._is_worker:
            self._add(getattr(report, "worker_id", ""), vars(report))

    def finish(self) -> None:
        """Pass the remaining facts to the controller or to the summary."""
        facts = self._take_facts()
        if self._is_worker:
            self._config.workeroutput.update(facts)  # type: ignore[attr-defined]
            return
        self._add("", facts)
        if self._has_models:
            self._add(HOST, _by_kind(self.models.end_host()))

    def print_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary of what the processes of the run reported."""
        idle = [fact["test"] for _, fact in self._facts[_IDLE]]
        facts = self._facts
        models = summary_lines(facts[_LOADS], facts[_NOTICES], facts[_LOCKED])
        print_summary(terminalreporter, [*models, *idle_lines(idle)], facts[IMPORTS], facts[REQUESTS])

    def close(self) -> None:
        """Remove what belongs only to this run."""
        if self._has_models:
            self.models.close()

    def hand_down(self, workerinput: dict[str, Any]) -> None:
        """Pass the shared folders, the endpoint, the start and the mode of the guards to a worker of pytest-xdist."""
        self.models.hand_down(workerinput)
        workerinput[GUARDS_OF_RUN] = guards_mode(self._config)
        workerinput[ENDPOINT_OF_RUN] = self._config.stash[ENDPOINT]
        workerinput[START_OF_RUN] = self._config.stash[STARTED]

    def worker_ended(self, worker: str, output: Mapping[str, Any]) -> None:
        """Collect the facts of a worker that ended.

        Raises:
            pytest.UsageError: The worker found a usage error.
        """
        self._add(worker, output)
        if _MISTAKE in output:
            raise pytest.UsageError(output[_MISTAKE])

    def _take_facts(self) -> dict[str, list[dict[str, Any]]]:
        """Return the facts of this process since the last call, as plain types. Kinds without facts are left out."""
        facts = dict(self._take_more_facts())
        if self._has_models:
            facts.update(_by_kind(self.models.take_reports()))
        facts[_LOCKED] = self._locked.take()
        return {kind: found for kind, found in facts.items() if found}

    def _add(self, worker: str, facts: Mapping[str, Any]) -> None:
        """Add the facts of one worker, by kind. Ignore other keys. Without pytest-xdist, the name is empty."""
        for kind, known in self._facts.items():
            if kind in facts:
                known += [(worker, fact) for fact in facts[kind]]


def _by_kind(reports: Sequence[LoadReport | Notice]) -> dict[str, list[dict[str, Any]]]:
    """Return loads and notices as plain types, by their kinds of facts."""
    if not reports:
        return {}  # without importing the library
    from modelenv.loading.reports import LoadReport

    loads = [asdict(each) for each in reports if isinstance(each, LoadReport)]
    notices = [asdict(each) for each in reports if not isinstance(each, LoadReport)]
    return {kind: facts for kind, facts in ((_LOADS, loads), (_NOTICES, notices)) if facts}
