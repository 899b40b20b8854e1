"""`SmartModelManager`: the one call that gives a service its model, in every environment."""

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

# `modelenv.loading` is imported when the first manager is made: a program that imports the class alone starts faster.
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
    """The arguments of one call of `load_model`."""

    name: str
    model_type: str | None
    timeout: float | None
    revision: str | None
    allow_pickle: bool
    trust_remote_code: bool
    arguments: Mapping[str, Any]


class SmartModelManager:
    """Loads models from where this process gets them: fakes in tests, a volume in production, and so on.

    Args:
        source: forces the source: a `ModelSource`, or its value as text. By default it is detected.
        settings: the settings; by default those of this process. Whenever a test forces another environment they
            are read again, in the same way: what was an argument stays.
        fallback: `raise` raises when a real model cannot be loaded. `mock` gives a fake instead, with a
            `ModelFallbackWarning`; never from a persistent volume, never in a test that asked for real models, and
            never for a mistake in the call or in the configuration (such as a proxy that cannot be used or a cache
            that cannot be written), or for a model that is unsafe to load.

    Raises:
        ConfigurationError: an argument or a setting is not valid.
    """

    _run: Run | None = None  # what this manager shares with others where the environment does not say

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
        """Return what this manager knows and holds in the environment that holds now."""
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
        """Read the settings of an environment, and find the source that follows from them."""
        settings = self._settings_in(forcing)
        return settings, explain_environment(self._source, settings=settings)

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
        now = moment()
        call = _Call(name, model_type, timeout, revision, allow_pickle, trust_remote_code, pipeline_kwargs)
        return self._given(call, now, self._load(call))

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
        now = moment()
        call = _Call(name, model_type, timeout, revision, allow_pickle, trust_remote_code, pipeline_kwargs)
        return self._given(call, now, await self._aload(call))

    def _load(self, call: _Call, held: Found | None = None) -> Found:
        """Return what a call gives in this environment: what is held already, if another load would be the same."""
        state, request, deadline = self._resolved(call)
        if state.source is ModelSource.MOCK_MODELS:
            return state.fake(request)
        key, work = self._work(state, request, deadline)
        if held is not None and held.key == key and held.run is state.run:
            return replace(held, pipeline=state.fake(request).pipeline) if held.is_fake else held
        try:
            return state.view(key, state.run.pipelines.get(key, work, deadline))
        except ModelEnvError as error:
            if not self._falls_back(state, error):
                raise
            return _stand_in(state, request, key, error)

    async def _aload(self, call: _Call) -> Found:
        state, request, deadline = self._resolved(call)
        if state.source is ModelSource.MOCK_MODELS:
            return state.fake(request)
        key, work = self._work(state, request, deadline)
        try:
            return state.view(key, await state.run.pipelines.aget(key, work, deadline))
        except ModelEnvError as error:
            if not self._falls_back(state, error):
                raise
            return _stand_in(state, request, key, error)

    def _given(self, call: _Call, now: object, found: Found) -> Any:
        """Return what a call gives its caller: the pipeline, or in a test run a handle that follows the test."""
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

    def _resolved(self, call: _Call) -> tuple[ManagerState, LoadRequest, Deadline]:
        """Return what a call means here: the environment, what is to be loaded, and until when."""
        from modelenv.loading.request import resolve_request

        state = self._state()
        request = resolve_request(
            state.settings, state.source, call.name, call.model_type,
            revision=call.revision, allow_pickle=call.allow_pickle, trust_remote_code=call.trust_remote_code,
            arguments=call.arguments,
        )  # fmt: skip
        seconds = state.settings.timeout_of(state.source) if call.timeout is None else timeout_seconds(call.timeout)
        return state, request, Deadline(seconds)

    def _work(
        self, state: ManagerState, request: LoadRequest, deadline: Deadline
    ) -> tuple[PipelineKey, Callable[[Load], Any]]:
        """Return what makes this load the same as another, and what it has to do."""
        from modelenv.loading.load import Loader

        loader = Loader.of(state.source, state.settings, state.run)
        key = state.key_of(request)
        state.used.add(key)
        current_scope().used_real_model = True
        return key, lambda _: loader.load(request, deadline)

    def _falls_back(self, state: ManagerState, error: ModelEnvError) -> bool:
        """Whether a fake may stand in for a load that failed: where that was asked for and is honest."""
        is_mistake = isinstance(error, ConfigurationError | UnsafeModelError)
        in_production = state.source is ModelSource.PERSISTENT_VOLUME
        return self._fallback == "mock" and not (is_mistake or in_production or state.real_models)

    def status(self) -> ManagerStatus:
        """Return what this manager holds at the moment; loads nothing."""
        return self._state().status()

    def unload(self, name: str | None = None) -> int:
        """Let go of the pipelines of a model, or of all models; a later `load_model` loads them anew.

        Args:
            name: a repo id or an alias; None means every model.

        Returns:
            How many pipelines were let go.
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
        """Cross to another process as the arguments alone: what is held begins anew there."""
        return partial(SmartModelManager, settings=self._settings, fallback=self._fallback), (self._source,)

    def __repr__(self) -> str:
        return f"<SmartModelManager {self.environment.value}>"


def _stand_in(state: ManagerState, request: LoadRequest, key: PipelineKey, error: ModelEnvError) -> Found:
    """Return a fake for a load that failed, with a warning at the line that asked for the model."""
    warnings.warn(
        f"{request.ref}: a fake stands in for the model, because the real one could not be loaded:\n{error}",
        ModelFallbackWarning,
        stacklevel=4,
    )
    return Found(key, state.fake(request).pipeline, state.run)
