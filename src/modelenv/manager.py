"""`SmartModelManager`: loads models with the same call in every environment."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakKeyDictionary

from modelenv.deadlines import Deadline
from modelenv.environment.detection import explain_environment
from modelenv.environment.settings import Settings, timeout_seconds
from modelenv.environment.sources import ModelSource
from modelenv.errors import (
    ConfigurationError,
    ModelEnvError,
    ModelFallbackWarning,
    UnsafeModelError,
)
from modelenv.forcing import Forcing, current_forcing, current_scope, moment, runs_tests
from modelenv.forks import new_lock
from modelenv.handles import Follower, Found, user_line
from modelenv.manager_state import ManagerState

# `modelenv.loading` is imported when the first manager is created, so that importing the class is fast.
if TYPE_CHECKING:
    from types import TracebackType

    from modelenv.environment.detection import Explanation
    from modelenv.loading.cache import Load, PipelineKey
    from modelenv.loading.reports import ManagerStatus
    from modelenv.loading.request import LoadRequest
    from modelenv.loading.shared import Run

Fallback = Literal["raise", "mock"]


@dataclass(frozen=True)
class _Call:
    """The arguments of a call of `load_model`."""

    name: str
    model_type: str | None
    timeout: float | None
    revision: str | None
    allow_pickle: bool
    trust_remote_code: bool
    arguments: Mapping[str, Any]


class SmartModelManager:
    """Loads models from the source that applies to this process: fakes in tests, a volume in production, or the Hub.

    Create one manager and keep it. It loads each model once and shares it between all threads and tasks. It can be
    used as a context manager, which unloads its models at the end of the block.

    Args:
        source: The source to use, as a `ModelSource` or its value. By default it is detected; see `explain`.
        settings: The settings to use; by default those of this process. If a test forces another environment, they
            are read again with the same arguments.
        fallback: What to do if a real model cannot be loaded. `"raise"` raises the error. `"mock"` returns a fake
            with a `ModelFallbackWarning`, but still raises the error for a persistent volume, in a test that requires
            real models, for a mistake in the call or the configuration (such as an unusable proxy or a cache that
            cannot be written), and for a model that is unsafe to load.

    Raises:
        ConfigurationError: An argument or a setting is invalid.
    """

    _run: Run | None = None  # shared with other managers, unless the environment has a run of its own

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
        self._states: WeakKeyDictionary[Forcing, ManagerState] = WeakKeyDictionary()
        self._lock = new_lock()
        self._state()

    def _state(self) -> ManagerState:
        """Return the state of this manager in the current environment."""
        forcing = current_forcing()
        state = self._states.get(forcing)
        if state is None:
            from modelenv.loading.shared import Run

            shared = forcing.run or self._run
            fresh = ManagerState(
                *self._read(forcing), forcing.real_models, shared or Run(), shares_run=shared is not None
            )
            with self._lock:
                state = self._states.setdefault(forcing, fresh)
        return state

    def _read(self, forcing: Forcing) -> tuple[Settings, Explanation]:
        """Read the settings in an environment, and determine the source."""
        settings = self._settings_in(forcing)
        return settings, explain_environment(self._source, settings=settings)

    def _settings_in(self, forcing: Forcing) -> Settings:
        if self._settings is None:
            return Settings.load()
        return self._settings.read_again() if forcing.is_forced else self._settings

    @property
    def environment(self) -> ModelSource:
        """The source of models in the current environment."""
        return self._state().source

    @property
    def settings(self) -> Settings:
        """The settings in the current environment."""
        return self._state().settings

    def explain(self) -> Explanation:
        """Return the source in the current environment, the reason for it, and the finding of every probe."""
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
        """Return the pipeline of a model. It is called in the same way in every environment.

        The first call loads the model. Later calls with the same arguments return the same pipeline.

        Args:
            name: A repo id on the Hub, or an alias from `[tool.modelenv.models]`.
            model_type: A transformers task, or an alias of one. `sentiment` is text classification with the scores of
                all labels. By default, the task that is declared for the alias or the locked model.
            revision: A branch, a tag or a commit; by default the alias's revision, else the default branch.
            timeout: The limit for the whole load in seconds; by default that of the settings, else of the source.
            allow_pickle: Whether pickled weights can be loaded. Loading them runs the code in them.
            trust_remote_code: Whether code that comes with the model can run. A persistent volume never allows it.
            pipeline_kwargs: Other arguments of `transformers.pipeline`, such as `top_k` or `device`.

        Returns:
            A transformers pipeline. With the source `mock_models`, a fake whose output has the same structure.

        Raises:
            ConfigurationError: The name, the task, an argument or a setting is invalid.
            ModelNotFoundError: The model does not exist in any place that this source uses; the error lists them.
            ModelDownloadError: The Hub could not be reached, or refused the download.
            ModelLoadTimeoutError: The load took longer than `timeout`.
            ModelIntegrityError: The model's files are incomplete or damaged.
            UnsafeModelError: The model would run code that was not allowed.
            NoSpaceError: The disk does not have enough free space.
        """
        now = moment()
        call = _Call(name, model_type, timeout, revision, allow_pickle, trust_remote_code, pipeline_kwargs)
        return self._for_caller(call, now, self._load(call))

    async def aload_model(
        self,
        name: str,
        model_type: str | None = None,
        *,
        revision: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the limit of the load, not only of this await
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        **pipeline_kwargs: Any,
    ) -> Any:
        """Return the pipeline of a model, like `load_model`, without blocking the event loop."""
        now = moment()
        call = _Call(name, model_type, timeout, revision, allow_pickle, trust_remote_code, pipeline_kwargs)
        return self._for_caller(call, now, await self._aload(call))

    def _load(self, call: _Call, held: Found | None = None) -> Found:
        """Return the result of a call in the current environment; `held` if another load would be the same."""
        state, request, deadline = self._resolve(call)
        if state.source is ModelSource.MOCK_MODELS:
            return state.fake(request)
        key, work = self._plan(state, request, deadline)
        if held is not None and held.key == key and held.run is state.run:
            return replace(held, pipeline=state.fake(request).pipeline) if held.is_fake else held
        try:
            return state.view(key, state.run.pipelines.get(key, work, deadline))
        except ModelEnvError as error:
            if not self._falls_back(state, error):
                raise
            return _fake_instead(state, request, key, error)

    async def _aload(self, call: _Call) -> Found:
        state, request, deadline = self._resolve(call)
        if state.source is ModelSource.MOCK_MODELS:
            return state.fake(request)
        key, work = self._plan(state, request, deadline)
        try:
            return state.view(key, await state.run.pipelines.aget(key, work, deadline))
        except ModelEnvError as error:
            if not self._falls_back(state, error):
                raise
            return _fake_instead(state, request, key, error)

    def _for_caller(self, call: _Call, now: object, found: Found) -> Any:
        """Return the pipeline, or in a test run a handle whose pipeline depends on the current test."""
        if not runs_tests():
            return found.pipeline
        state = self._state()
        with state.lock:
            follower = state.followers.get(found.key)
            if follower is None or not follower.fits(found):
                follower = Follower(partial(self._load, call), found.key.ref.repo_id, user_line())
                state.followers[found.key] = follower
            follower.answer_as(now, found)
        return follower.handle

    def _resolve(self, call: _Call) -> tuple[ManagerState, LoadRequest, Deadline]:
        """Return the state, the request and the deadline for a call in the current environment."""
        from modelenv.loading.request import resolve_request

        state = self._state()
        request = resolve_request(
            state.settings, state.source, call.name, call.model_type,
            revision=call.revision, allow_pickle=call.allow_pickle, trust_remote_code=call.trust_remote_code,
            arguments=call.arguments,
        )  # fmt: skip
        seconds = state.settings.timeout_of(state.source) if call.timeout is None else timeout_seconds(call.timeout)
        return state, request, Deadline(seconds)

    def _plan(
        self, state: ManagerState, request: LoadRequest, deadline: Deadline
    ) -> tuple[PipelineKey, Callable[[Load], Any]]:
        """Return the key of a load, and the function that does it."""
        from modelenv.loading.load import Loader

        loader = Loader.of(state.source, state.settings, state.run)
        key = state.key_of(request)
        state.used.add(key)
        current_scope().used_real_model = True
        return key, lambda _: loader.load(request, deadline)

    def _falls_back(self, state: ManagerState, error: ModelEnvError) -> bool:
        """Whether to return a fake for a load that failed. See the argument `fallback`."""
        is_mistake = isinstance(error, ConfigurationError | UnsafeModelError)
        in_production = state.source is ModelSource.PERSISTENT_VOLUME
        return self._fallback == "mock" and not (is_mistake or in_production or state.real_models)

    def status(self) -> ManagerStatus:
        """Return the models that this manager has loaded or is loading, for a health endpoint. Loads nothing."""
        return self._state().status()

    def unload(self, name: str | None = None) -> int:
        """Forget the pipelines of one model or of all models. A later `load_model` loads them again.

        Args:
            name: A repo id or an alias, or None for all models.

        Returns:
            The number of forgotten pipelines.
        """
        state = self._state()
        alias = state.settings.models.get(name) if name is not None else None
        return state.unload(alias.ref.repo_id if alias is not None else name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unload()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments only. A copy in another process loads its own pipelines."""
        return partial(SmartModelManager, settings=self._settings, fallback=self._fallback), (self._source,)

    def __repr__(self) -> str:
        return f"<SmartModelManager {self.environment.value}>"


def _fake_instead(state: ManagerState, request: LoadRequest, key: PipelineKey, error: ModelEnvError) -> Found:
    """Return a fake for a load that failed, with a warning at the line that called `load_model`."""
    warnings.warn(
        f"{request.ref}: a fake is used, because the real model could not be loaded:\n{error}",
        ModelFallbackWarning,
        stacklevel=4,
    )
    return Found(key, state.fake(request).pipeline, state.run)
