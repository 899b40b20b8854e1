"""`SmartModelManager`: the one call that gives a service its model, in every environment."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

from modelenv.deadlines import Deadline
from modelenv.errors import (
    ConfigurationError,
    ModelEnvError,
    ModelFallbackWarning,
    UnsafeModelError,
)
from modelenv.forcing import Forcing, Run, current_forcing
from modelenv.load_request import LoadRequest, resolve_request
from modelenv.pipelines import Load, PipelineKey
from modelenv.reports import ManagerStatus, ModelStatus
from modelenv.settings import Settings, timeout_seconds
from modelenv.sources import Explanation, ModelSource, explain_environment

Fallback = Literal["raise", "mock"]


@dataclass(frozen=True)
class _State:
    """What a manager knows and holds in one environment."""

    settings: Settings
    explanation: Explanation
    real_models: bool
    run: Run
    used: set[PipelineKey] = field(default_factory=set)
    views: dict[PipelineKey, Any] = field(default_factory=dict)
    fakes: dict[PipelineKey, Any] = field(default_factory=dict)

    @property
    def source(self) -> ModelSource:
        return self.explanation.source


class SmartModelManager:
    """Loads models from where this process gets them: fakes in tests, a volume in production, and so on.

    Args:
        source: forces the source: a `ModelSource`, or its value as text. By default it is detected.
        settings: the settings; by default those of this process. Whenever a test forces another environment they
            are read again, in the same way: what was an argument stays.
        fallback: `raise` raises when a real model cannot be loaded. `mock` gives a fake instead, with a
            `ModelFallbackWarning`; never from a persistent volume, never in a test that asked for real models, and
            never for a mistake in the call or a model that is unsafe to load.

    Raises:
        ConfigurationError: an argument or a setting is not valid.
    """

    def __init__(
        self,
        source: ModelSource | str | None = None,
        *,
        settings: Settings | None = None,
        fallback: Fallback = "raise",
    ) -> None:
        if fallback not in ("raise", "mock"):
            raise ConfigurationError("unknown fallback", expected="'raise' or 'mock'", found=repr(fallback))
        self._source = None if source is None else ModelSource.parse(source)
        self._settings = settings
        self._fallback = fallback
        self._states: WeakKeyDictionary[Forcing, _State] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._state()

    def _state(self) -> _State:
        forcing = current_forcing()
        state = self._states.get(forcing)
        if state is None:
            settings = self._settings_in(forcing)
            explanation = explain_environment(self._source, settings=settings)
            fresh = _State(settings, explanation, forcing.real_models, forcing.run or Run())
            with self._lock:
                state = self._states.setdefault(forcing, fresh)
        return state

    def _settings_in(self, forcing: Forcing) -> Settings:
        if self._settings is None:
            return Settings.load()
        return self._settings.read_again() if forcing.is_forced else self._settings

    @property
    def environment(self) -> ModelSource:
        """The source that models come from here."""
        return self._state().source

    @property
    def settings(self) -> Settings:
        """The settings in use here."""
        return self._state().settings

    def explain(self) -> Explanation:
        """Return the source, the reason for it, and every probe's finding."""
        return self._state().explanation

    def load_model(
        self,
        name: str,
        model_type: str | None = None,
        *,
        revision: str | None = None,
        timeout: float | None = None,
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        **pipeline_kwargs: Any,
    ) -> Any:
        """Return the pipeline for a model: the same callable in every environment, loaded once.

        Args:
            name: a repo id of the Hub, or an alias of `[tool.modelenv.models]`.
            model_type: a transformers task or an alias of one; `sentiment` is text classification with the scores
                of all labels. May be left out for an alias that declares its task.
            revision: a branch, a tag or a commit; by default the alias's, else the default branch.
            timeout: seconds for the whole load; by default the setting's, else the source's own.
            allow_pickle: whether pickled weights may be loaded, which runs the code in them.
            trust_remote_code: whether code that comes with the model may run; never from a persistent volume.
            pipeline_kwargs: further arguments for `transformers.pipeline`, such as `top_k` or `device`.

        Returns:
            A transformers pipeline, or under `MOCK_MODELS` a fake with the same structure of output.

        Raises:
            ConfigurationError: the name, the task or an argument is not valid.
            ModelNotFoundError: the model is in none of the places that are tried here.
            ModelDownloadError: the Hub could not be reached, or refused.
            ModelLoadTimeoutError: the deadline passed.
            ModelIntegrityError: the model's files are incomplete or damaged.
            UnsafeModelError: the model would run code that was not allowed.
            NoSpaceError: the disk is full.
        """
        state, request, deadline = self._resolved(
            name, model_type, timeout, revision=revision, allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code, arguments=pipeline_kwargs,
        )  # fmt: skip
        if state.source is ModelSource.MOCK_MODELS:
            return self._fake(state, request)
        key, work = self._work(state, request, deadline)
        try:
            return self._view(state, key, state.run.pipelines.get(key, work, deadline))
        except ModelEnvError as error:
            return self._fall_back(state, request, error)

    async def aload_model(
        self,
        name: str,
        model_type: str | None = None,
        *,
        revision: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline of the load, not of this await alone
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        **pipeline_kwargs: Any,
    ) -> Any:
        """Return the pipeline as `load_model` does, without ever blocking the event loop."""
        state, request, deadline = self._resolved(
            name, model_type, timeout, revision=revision, allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code, arguments=pipeline_kwargs,
        )  # fmt: skip
        if state.source is ModelSource.MOCK_MODELS:
            return self._fake(state, request)
        key, work = self._work(state, request, deadline)
        try:
            return self._view(state, key, await state.run.pipelines.aget(key, work, deadline))
        except ModelEnvError as error:
            return self._fall_back(state, request, error)

    def _resolved(
        self, name: str, model_type: str | None, timeout: float | None, **options: Any
    ) -> tuple[_State, LoadRequest, Deadline]:
        """Return what a call means here: the environment, what is to be loaded, and until when."""
        state = self._state()
        request = resolve_request(state.settings, state.source, name, model_type, **options)
        seconds = state.settings.timeout_of(state.source) if timeout is None else timeout_seconds(timeout)
        return state, request, Deadline(seconds)

    def _work(
        self, state: _State, request: LoadRequest, deadline: Deadline
    ) -> tuple[PipelineKey, Callable[[Load], Any]]:
        """Return what makes this load the same as another, and what it has to do."""
        from modelenv.loader import Loader

        loader = Loader.of(state.source, state.settings, state.run)
        key = _key(state, request)
        state.used.add(key)
        return key, lambda load: loader.load(request, load, deadline)

    def _view(self, state: _State, key: PipelineKey, pipeline: Any) -> Any:
        """Return what this manager gives of a pipeline that others share: the same object in each call."""
        with self._lock:
            return state.views.setdefault(key, state.run.view(pipeline))

    def _fake(self, state: _State, request: LoadRequest) -> Any:
        from modelenv.fakes import make_fake
        from modelenv.locks.facts import config_of

        key = replace(_key(state, request), task=request.task_name)
        with self._lock:
            if key not in state.fakes:
                model = request.ref.repo_id
                config = None if request.locked is None else config_of(request.locked.facts)
                state.fakes[key] = make_fake(request.task_name, model, config, request.arguments)
            return state.fakes[key]

    def _fall_back(self, state: _State, request: LoadRequest, error: ModelEnvError) -> Any:
        """Return a fake for a load that failed, where that was asked for and is honest; else raise the error."""
        is_mistake = isinstance(error, ConfigurationError | UnsafeModelError)
        in_production = state.source is ModelSource.PERSISTENT_VOLUME
        if self._fallback == "raise" or is_mistake or in_production or state.real_models:
            raise error
        warnings.warn(
            f"{request.ref}: a fake stands in for the model, because the real one could not be loaded:\n{error}",
            ModelFallbackWarning,
            stacklevel=3,
        )
        return self._fake(state, request)

    def status(self) -> ManagerStatus:
        """Return what this manager holds at the moment; loads nothing."""
        state = self._state()
        root = state.settings.root_of(state.source)
        loads = state.run.pipelines.loads().items()
        real = (_status(key, load.future.done(), load.stage) for key, load in loads if key in state.used)
        fakes = (_status(key, True, "a fake") for key in state.fakes)
        return ManagerStatus(
            state.source.value, state.explanation.reason, None if root is None else str(root), (*real, *fakes)
        )

    def unload(self, name: str | None = None) -> int:
        """Let go of the pipelines of a model, or of all models; a later `load_model` loads them anew.

        Args:
            name: a repo id or an alias; None means every model.

        Returns:
            How many pipelines were let go.
        """
        state = self._state()
        alias = state.settings.models.get(name) if name is not None else None
        repo_id = alias.ref.repo_id if alias is not None else name
        held = (*(key for key in state.run.pipelines.loads() if key in state.used), *state.fakes)
        keys = [key for key in held if repo_id in (None, key.ref.repo_id)]
        for key in keys:
            state.used.discard(key)
            state.views.pop(key, None)
            state.fakes.pop(key, None)
            if current_forcing().run is None:  # else other managers of the run use it too
                state.run.pipelines.forget(key)
        return len(keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unload()

    def __repr__(self) -> str:
        return f"<SmartModelManager {self.environment.value}>"


def _key(state: _State, request: LoadRequest) -> PipelineKey:
    arguments = {
        **request.arguments,
        "device": request.device,
        "allow_pickle": request.allow_pickle,
        "trust_remote_code": request.trust_remote_code,
    }
    root = str(state.settings.root_of(state.source) or "")
    return PipelineKey.of(request.ref, request.task, state.source.value, root, arguments)


def _status(key: PipelineKey, done: bool, stage: str) -> ModelStatus:
    state = "ready" if done else "loading"
    return ModelStatus(key.ref.repo_id, key.ref.revision, key.task, state, stage)
