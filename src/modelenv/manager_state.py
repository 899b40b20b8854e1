"""The state of a manager in one environment: the pipelines that it has used, and the fakes of each test."""

from __future__ import annotations

import threading
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from modelenv.forcing import Scope, current_scope
from modelenv.forks import new_lock
from modelenv.handles import Found

if TYPE_CHECKING:
    from modelenv.environment.detection import Explanation
    from modelenv.environment.settings import Settings
    from modelenv.environment.sources import ModelSource
    from modelenv.handles import Follower
    from modelenv.loading.cache import PipelineKey
    from modelenv.loading.reports import ManagerStatus, ModelStatus
    from modelenv.loading.request import LoadRequest
    from modelenv.loading.shared import Run


@dataclass(frozen=True)
class ManagerState:
    """The state of a manager in one environment.

    Attributes:
        settings: The settings in this environment.
        explanation: The source, and the reason for it.
        real_models: Whether a test requires real models, so that a fake must not replace one.
        run: The objects with which this manager loads its pipelines.
        shares_run: Whether other managers use the same run.
        used: The keys of the run's real pipelines that this manager has used.
        views: The object that this manager returns for each of these pipelines.
        followers: The follower behind each handle that this manager has returned.
        fakes: The fakes of each test, and those that all tests share.
        lock: Held while a view, a follower or a fake is looked up or added.
    """

    settings: Settings
    explanation: Explanation
    real_models: bool
    run: Run
    shares_run: bool = False
    used: set[PipelineKey] = field(default_factory=set)
    views: dict[PipelineKey, Any] = field(default_factory=dict)
    followers: dict[PipelineKey, Follower] = field(default_factory=dict)
    fakes: WeakKeyDictionary[Scope, dict[PipelineKey, Any]] = field(default_factory=WeakKeyDictionary)
    lock: threading.Lock = field(default_factory=new_lock, repr=False)

    @property
    def source(self) -> ModelSource:
        """The source of models."""
        return self.explanation.source

    def key_of(self, request: LoadRequest, task: str | None = None) -> PipelineKey:
        """Return the key of a request. If `task` is given, it replaces the task of the request."""
        from modelenv.loading.cache import PipelineKey

        arguments = {
            **request.arguments,
            "device": request.device,
            "allow_pickle": request.allow_pickle,
            "trust_remote_code": request.trust_remote_code,
        }
        root = str(self.settings.root_of(self.source) or "")
        return PipelineKey.of(request.ref, task or request.task, self.source.value, root, arguments)

    def view(self, key: PipelineKey, pipeline: Any) -> Found:
        """Return the object that this manager returns for a shared pipeline: the same one for every call."""
        with self.lock:
            return Found(key, self.views.setdefault(key, self.run.view(pipeline)), self.run)

    def fake(self, request: LoadRequest) -> Found:
        """Return the fake of the current test. It starts with the answers that were set for all tests."""
        from modelenv.fakes import fake_of_facts

        key = self.key_of(request, request.task_name)
        scope = current_scope()
        with self.lock:
            fakes = self.fakes.setdefault(scope, {})
            if key not in fakes:
                shared = {} if scope.shared is None else self.fakes.get(scope.shared, {})
                if key in shared:
                    fakes[key] = copy(shared[key])
                else:
                    facts = None if request.locked is None else request.locked.facts
                    fakes[key] = fake_of_facts(request.task_name, request.ref.repo_id, facts, request.arguments)
            return Found(key, fakes[key])

    def status(self) -> ManagerStatus:
        """Return the models that are loaded or loading."""
        from modelenv.loading.reports import ManagerStatus

        root = self.settings.root_of(self.source)
        loads = self.run.pipelines.loads().items()
        real = (_status(key, load.future.done(), load.stages.now) for key, load in loads if key in self.used)
        fakes = (_status(key, True, "a fake") for key in self.fakes.get(current_scope(), ()))
        return ManagerStatus(
            self.source.value, self.explanation.reason, None if root is None else str(root), (*real, *fakes)
        )

    def unload(self, repo_id: str | None) -> int:
        """Forget the pipelines of a model, or of all models for None, and return their number."""
        fakes = self.fakes.get(current_scope(), {})
        held = (*(key for key in self.run.pipelines.loads() if key in self.used), *fakes)
        keys = [key for key in held if repo_id in (None, key.ref.repo_id)]
        for key in keys:
            self.used.discard(key)
            self.views.pop(key, None)
            self.followers.pop(key, None)
            fakes.pop(key, None)
            if not self.shares_run:
                self.run.pipelines.forget(key)
        return len(keys)


def _status(key: PipelineKey, done: bool, stage: str) -> ModelStatus:
    from modelenv.loading.reports import ModelStatus

    state = "ready" if done else "loading"
    return ModelStatus(key.ref.repo_id, key.ref.revision, key.task, state, stage)
