"""Forcing an environment for a while: variables, the Hugging Face libraries, and what managers share meanwhile.

A manager keeps its state apart for each environment that is forced. So a service that made its manager at import
meets fakes in one test and real models in the next, and finds its own state again afterwards.
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
    """One environment, forced or natural; managers keep their state apart by it.

    Attributes:
        run: what managers share, or None: each for itself.
        real_models: whether real models were asked for, so that no fake may stand in for one.
        is_offline: whether a source that downloads nothing switched the Hub off.
        offline_before: what HF_HUB_OFFLINE was before that, for a source inside that downloads.
    """

    run: Run | None = None
    real_models: bool = False
    is_offline: bool = False
    offline_before: str | None = None

    @property
    def is_forced(self) -> bool:
        """Whether this is not the natural environment."""
        return self is not _NATURAL


class Scope(Protocol):
    """One test of a run, or what all tests of the run share; managers keep the fakes of each apart.

    Attributes:
        shared: what all tests share: fixtures of wider scope, and code that runs at import. None if this is it.
        used_real_model: whether a manager gave this test a real model.
    """

    shared: Scope | None
    used_real_model: bool


class _NoTests:
    """The scope of a program that runs no tests."""

    shared: Scope | None = None
    used_real_model = False


_OFFLINE = "HF_HUB_OFFLINE"
_NATURAL = Forcing()
_NO_TESTS = _NoTests()
_stack: list[Forcing] = [_NATURAL]
_scope: Scope = _NO_TESTS
_moment = object()


def current_forcing() -> Forcing:
    """Return the environment that is forced now, or the natural one."""
    return _stack[-1]


def current_scope() -> Scope:
    """Return the test that runs now, or what all tests share."""
    return _scope


def runs_tests() -> bool:
    """Whether a test run told this process which test runs."""
    return _scope is not _NO_TESTS


def moment() -> object:
    """Return an object that is another one as soon as another environment or another test holds."""
    return _moment


def enter_scope(scope: Scope) -> Scope:
    """Tell managers which test runs from now on, and return which one ran before."""
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
    """Force a source, and further variables, for a block. Blocks may be nested.

    Args:
        source: the source to force, or None to change variables only.
        variables: further variables to set; None as a value removes one.
        run: what the managers in this block share; by default what they shared before.
        offline: whether the source switches the Hub off; by default it does if it downloads nothing.

    Raises:
        ConfigurationError: the source is unknown.
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
    with environment(wanted) if wanted else nullcontext():  # looking at the libraries costs, in every test
        _stack.append(forcing)
        _new_moment()
        try:
            yield forcing
        finally:
            _stack.remove(forcing)
            _new_moment()
