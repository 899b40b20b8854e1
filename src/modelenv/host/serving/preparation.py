"""Fetches and loads the models that tests will need, while tests without models run."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.environment.detection import explain_environment
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ModelEnvError
from modelenv.fetching.failures import FailureLog
from modelenv.host.folder import whereabouts
from modelenv.host.messages.protocol import PlannedModel, Prepare
from modelenv.host.recipes import recipe_of
from modelenv.host.serving.model_cache import ModelCache
from modelenv.loading.load import Loader
from modelenv.loading.reports import LoadReport
from modelenv.loading.request import LoadRequest, resolve_request
from modelenv.loading.shared import Run
from modelenv.loading.spec import ModelSpec

_AT_ONCE = 2  # the files of one model are fetched while another is built
_LAST_LOAD_SECONDS = 1.0  # a run's last test can get its model a moment before the load is reported


@dataclass(eq=False)
class Preparation:
    """Loads planned models in the background, each once.

    Attributes:
        models: The model cache of this host.
        whereabouts: The host's own digest of where models are found.
    """

    models: ModelCache
    whereabouts: str = field(default_factory=whereabouts)
    _begun: set[PlannedModel] = field(default_factory=set)
    _reports: deque[LoadReport] = field(default_factory=deque)
    _running: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, request: Prepare) -> None:
        """Start to load the models that are new: first those that must be fetched, then the largest.

        Nothing is loaded for a process in another folder or with other variables, which could mean other files.

        All models are fetched. With a memory limit, only those that fit are loaded: no model is unloaded for one that
        has not been requested yet.

        If a model cannot be loaded, the test that needs it fails with the same error: the failure is recorded in the
        folder `failures`, which the run's workers share.
        """
        if request.whereabouts != self.whereabouts:
            return
        with self._changed:
            fresh = tuple(model for model in dict.fromkeys(request.models) if model not in self._begun)
            self._begun.update(fresh)
            self._running += bool(fresh)
        if fresh:
            threading.Thread(target=self._run, args=(fresh, request.failures), daemon=True).start()

    def take_reports(self) -> tuple[LoadReport, ...]:
        """Return the reports since the last call. Waits a moment for loads that are still running."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, _LAST_LOAD_SECONDS)
        reports = []
        while self._reports:
            reports.append(self._reports.popleft())
        return tuple(reports)

    def _run(self, models: tuple[PlannedModel, ...], failures: str | None) -> None:
        try:
            self._load_all(models, failures)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _load_all(self, models: tuple[PlannedModel, ...], failures: str | None) -> None:
        settings = Settings.load()
        source = explain_environment(settings=settings).source
        log = None if failures is None else FailureLog(Path(failures))
        loader = Loader.of(source, settings, Run(failures=log, on_load=self._reports.append, build=self._build))
        requests = [request for model in models for request in self._requests(model, settings, source)]
        requests.sort(key=lambda request: -_size(loader, request))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda request: _load(loader, request, settings.timeout_of(source)), requests))

    def _requests(self, model: PlannedModel, settings: Settings, source: ModelSource) -> Iterator[LoadRequest]:
        """Yield the model's request. An invalid one is skipped, because its test will report it."""
        with suppress(Exception):  # also if one of the arguments' classes cannot be imported here
            yield resolve_request(settings, source, model.name, model.task, arguments=self._arguments(model))

    def _arguments(self, model: PlannedModel) -> dict[str, Any]:
        if b"torch" in model.arguments or b"transformers" in model.arguments:
            self.models.libraries.wait()  # two threads that import these at the same time can deadlock
        arguments: dict[str, Any] = pickle.loads(model.arguments)  # noqa: S301 - from our own user
        return arguments

    def _build(self, spec: ModelSpec, deadline: Deadline) -> None:
        if self.models.has_room(spec.folder):
            self.models.build(recipe_of(spec), deadline)


def _size(loader: Loader, request: LoadRequest) -> float:
    """Return the size of the model's files in bytes. A model that is not in the store counts as infinite."""
    try:
        found = loader.folders.store.find(request.ref)
    except (ModelEnvError, OSError):
        found = None  # the load will raise this error again
    if found is None:
        return float("inf")
    return sum(path.stat().st_size for path in found.path.rglob("*") if path.is_file())


def _load(loader: Loader, request: LoadRequest, seconds: float) -> None:
    with suppress(ModelEnvError):  # the loader has reported it, and recorded it for the test that needs the model
        loader.load(request, Deadline(seconds))
