"""Forces an environment for a block: variables, the Hugging Face libraries, and the objects that managers share.

A manager has a separate state for each environment. So a service that created its manager at import uses fakes in one
test and real models in the next, and its own state again afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from modelenv.environment.libraries import environment
from modelenv.environment.sources import ModelSource

if TYPE_CHECKING:
    from modelenv.loading.shared import Run


@dataclass(frozen=True, eq=False)
class Forcing:
    """An environment, either forced or the natural one. Managers have a separate state for each.

    Attributes:
        run: The objects that managers share, or None if each manager has its own.
        real_models: Whether real models are required, so that a fake must not replace one.
        is_offline: Whether offline mode is on because the forced source downloads nothing.
        offline_before: The value of HF_HUB_OFFLINE before that, for a nested source that downloads.
    """

    run: Run | None = None
    real_models: bool = False
    is_offline: bool = False
    offline_before: str | None = None

    @property
    def is_forced(self) -> bool:
        """Whether a block forces this environment."""
        return self is not _NATURAL


class Scope(Protocol):
    """The scope of one test, or the scope that all tests share. Managers have separate fakes for each.

    Attributes:
        shared: The scope that all tests share, for fixtures of wider scope and for imports. None if this is it.
        used_real_model: Whether a manager has returned a real model in this scope.
    """

    shared: Scope | None
    used_real_model: bool


class _NoTests:
    """The scope of a program that does not run tests."""

    shared: Scope | None = None
    used_real_model = False


_OFFLINE = "HF_HUB_OFFLINE"
_NATURAL = Forcing()
_NO_TESTS = _NoTests()
_stack: list[Forcing] = [_NATURAL]
_scope: Scope = _NO_TESTS
_moment = object()


def current_forcing() -> Forcing:
    """Return the environment that is currently forced, or the natural one."""
    return _stack[-1]


def current_scope() -> Scope:
    """Return the scope of the current test, or the scope that all tests share."""
    return _scope


def runs_tests() -> bool:
    """Whether this process runs tests with the pytest plugin."""
    return _scope is not _NO_TESTS


def moment() -> object:
    """Return an object that is replaced by a new one whenever the environment or the test changes."""
    return _moment


def enter_scope(scope: Scope) -> Scope:
    """Set the current scope, and return the one before it."""
    global _scope
    before, _scope = _scope, scope
    _new_moment()
    return before


def _new_moment() -> None:
    global _moment
    _moment = object()


@contextmanager
def force_environment(
    source: ModelSource | str | None = None,
    *,
    variables: Mapping[str, str | None] | None = None,
    run: Run | None = None,
    offline: bool | None = None,
) -> Iterator[Forcing]:
    """Context manager: force a source of models, and environment variables, for a block. Blocks can be nested.

    All managers follow it, including those that were created before the block, unless their source was passed as an
    argument. At the end of the block, the variables and the Hugging Face libraries are restored.

    Args:
        source: The source to force, as a `ModelSource` or its value, such as `"mock_models"`. None changes only
            variables.
        variables: Environment variables to set, or to remove if the value is None.
        run: The objects that managers in this block share; by default those of the surrounding environment.
        offline: Whether `source` turns on the offline mode of the Hugging Face libraries; by default, if it downloads
            nothing.

    Raises:
        ConfigurationError: The source is unknown.
    """
    outer = current_forcing()
    wanted: dict[str, str | None] = {}
    real, is_offline, offline_before = outer.real_models, outer.is_offline, outer.offline_before
    if source is not None:
        source = ModelSource.parse(source)
        wanted["MODEL_SOURCE"] = source.value
        real = source is not ModelSource.MOCK_MODELS
        goes_offline = not source.downloads if offline is None else offline
        if is_offline and not goes_offline:
            wanted[_OFFLINE] = offline_before
        elif goes_offline:
            wanted[_OFFLINE] = "1"
            offline_before = offline_before if is_offline else os.environ.get(_OFFLINE)
        is_offline = goes_offline
    if variables is not None:
        wanted.update(variables)
        is_offline = is_offline and _OFFLINE not in variables
    forcing = Forcing(run or outer.run, real, is_offline, offline_before)
    with environment(wanted) if wanted else nullcontext():  # looking at the libraries takes time in every test
        _stack.append(forcing)
        _new_moment()
        try:
            yield forcing
        finally:
            _stack.remove(forcing)
            _new_moment()
