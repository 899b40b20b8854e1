"""What a manager holds in one environment: the pipelines that it used, and the fakes of each test."""

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
    """What a manager knows and holds in one environment.

    Attributes:
        settings: the settings that hold there.
        explanation: the source, and why it applies.
        real_models: whether a test asked for real models, so that no fake may stand in for one.
        run: what this manager loads its pipelines with.
        shares_run: whether other managers load theirs with it too.
        used: the real pipelines of the run that this manager asked for.
        views: what this manager gives of each of them.
        followers: what finds the pipeline behind each handle that was given.
        fakes: the fakes of each test, and those that all tests share.
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
        """Where models come from."""
        return self.explanation.source

    def key_of(self, request: LoadRequest, task: str | None = None) -> PipelineKey:
        """Return what makes another load the same as this one; `task` counts instead of the request's."""
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
        """Return what this manager gives of a pipeline that others share: the same object in each call."""
        with self.lock:
            return Found(key, self.views.setdefault(key, self.run.view(pipeline)), self.run)

    def fake(self, request: LoadRequest) -> Found:
        """Return the fake of the test that runs now. It begins with the answers that were set for all tests."""
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
        """Return what is held at the moment."""
        from modelenv.loading.reports import ManagerStatus

        root = self.settings.root_of(self.source)
        loads = self.run.pipelines.loads().items()
        real = (_status(key, load.future.done(), load.stages.now) for key, load in loads if key in self.used)
        fakes = (_status(key, True, "a fake") for key in self.fakes.get(current_scope(), ()))
        return ManagerStatus(
            self.source.value, self.explanation.reason, None if root is None else str(root), (*real, *fakes)
        )

    def unload(self, repo_id: str | None) -> int:
        """Let go of the pipelines of a model, of all models for None; return how many they were."""
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
