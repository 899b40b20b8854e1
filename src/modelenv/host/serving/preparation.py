"""Fetching and loading what tests will need, before they ask: the downloads begin while tests without models run."""

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
from modelenv.host.serving.model_cache import HeldModels
from modelenv.loading.load import Loader
from modelenv.loading.reports import LoadReport
from modelenv.loading.request import LoadRequest, resolve_request
from modelenv.loading.shared import Run
from modelenv.loading.spec import ModelSpec

_AT_ONCE = 2  # the files of one model are fetched while another is built
_LAST_LOAD_SECONDS = 1.0  # a run's last test may hear of its model a moment before the load is reported


@dataclass(eq=False)
class Preparation:
    """Loads planned models in the background, each once.

    Args:
        models: those of this host.
        whereabouts: where the host is.
    """

    models: HeldModels
    whereabouts: str = field(default_factory=whereabouts)
    _begun: set[PlannedModel] = field(default_factory=set)
    _reports: deque[LoadReport] = field(default_factory=deque)
    _under_way: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, asked: Prepare) -> None:
        """Begin to load those of the models that were not begun yet; what must be fetched, or is largest, first.

        Who asks from elsewhere, or with other variables, may mean other files: nothing is begun for them.

        Where memory is limited, all are fetched, and those are loaded that find room: none is unloaded for another
        that nobody has asked for yet.

        A model that cannot be loaded is left to the test that needs it, which fails with the same words: the
        failure is remembered in the folder `failures`, which the run's workers share.
        """
        if asked.whereabouts != self.whereabouts:
            return
        with self._changed:
            fresh = tuple(model for model in dict.fromkeys(asked.models) if model not in self._begun)
            self._begun.update(fresh)
            self._under_way += bool(fresh)
        if fresh:
            threading.Thread(target=self._run, args=(fresh, asked.failures), daemon=True).start()

    def take_reports(self) -> tuple[LoadReport, ...]:
        """Return what was loaded since the last call; what is under way has a moment to end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, _LAST_LOAD_SECONDS)
        reports = []
        while self._reports:
            reports.append(self._reports.popleft())
        return tuple(reports)

    def _run(self, models: tuple[PlannedModel, ...], failures: str | None) -> None:
        try:
            self._load_all(models, failures)
        finally:
            with self._changed:
                self._under_way -= 1
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
        """Yield the model's request; none for one that is wrong, which its test will say."""
        with suppress(Exception):  # also of a class that cannot be imported here
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
    """Return the bytes of the model's files; what is not in the store yet counts as largest of all."""
    try:
        found = loader.store.find(request.ref)
    except (ModelEnvError, OSError):
        found = None  # the load itself says what is wrong
    if found is None:
        return float("inf")
    return sum(path.stat().st_size for path in found.path.rglob("*") if path.is_file())


def _load(loader: Loader, request: LoadRequest, seconds: float) -> None:
    with suppress(ModelEnvError):  # reported, and remembered for the test that needs the model
        loader.load(request, Deadline(seconds))
