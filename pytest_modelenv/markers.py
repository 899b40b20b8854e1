"""The plugin's markers: parses the arguments of each at collection, and says why invalid ones are invalid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

MODEL_ACCESS = "model_access"
# The closest `model` marker of a test, with the parsed call or the reason why it is invalid.
_CALL = pytest.StashKey[tuple[pytest.Mark, "ModelCall | _InvalidMark"]]()
_OTHER_MARKER = (
    "; if this marker has another meaning in your project, set the ini-option model_marker to the marker of your "
    "tests that need real models"
)


@dataclass(frozen=True)
class ModelCall:
    """The arguments of a `model` marker, for `load_model`."""

    name: str
    task: str | None
    pipeline_kwargs: Mapping[str, Any]


def model(name: str, task: str | None = None, **pipeline_kwargs: Any) -> ModelCall:
    """Parse the arguments of `pytest.mark.model(...)`."""
    if not isinstance(name, str) or not isinstance(task, str | None):
        raise TypeError("name and task must be text")
    return ModelCall(name, task, pipeline_kwargs)


def model_source(source: str) -> str:
    """Parse the argument of `pytest.mark.model_source(...)`, and return the value of the source."""
    from modelenv.environment.sources import ModelSource
    from modelenv.errors import ConfigurationError

    try:
        return ModelSource.parse(source).value
    except ConfigurationError as error:
        raise TypeError(f"{error.what} {error.found}, expected {error.expected}") from None


def integration(*, host: bool = True) -> bool:
    """Parse the arguments of `pytest.mark.integration(...)`, and return whether the model host is allowed."""
    if not isinstance(host, bool):
        raise TypeError("host must be True or False")
    return host


def model_access() -> None:
    """Parse the arguments of `pytest.mark.model_access`: it takes none."""


def allows_access(item: pytest.Item) -> bool:
    """Return whether a test is marked `model_access`, in modelenv's sense."""
    mark = item.get_closest_marker(MODEL_ACCESS)
    return mark is not None and not mark.args and not mark.kwargs


def model_call(node: pytest.Item) -> ModelCall:
    """Return the arguments of a test's closest `model` marker.

    Raises:
        pytest.UsageError: The test has no such marker, or its arguments are invalid.
    """
    call = _parse_call(node)
    if call is None:
        raise pytest.UsageError(
            f"{node.nodeid}: the fixture `model` needs the marker @pytest.mark.model(name, task=...) on the test"
        )
    if isinstance(call, _InvalidMark):
        raise pytest.UsageError(f"{node.nodeid}: {call}")
    return call


def call_of(item: pytest.Item) -> ModelCall | None:
    """Return the arguments of a test's closest `model` marker, or None if there is no valid one."""
    call = _parse_call(item)
    return call if isinstance(call, ModelCall) else None


def _parse_call(item: pytest.Item) -> ModelCall | _InvalidMark | None:
    """Parse the closest `model` marker of a test, once, unless a fixture has added another one since."""
    mark = item.get_closest_marker("model")
    if mark is None:
        return None
    if _CALL not in item.stash or item.stash[_CALL][0] is not mark:
        item.stash[_CALL] = (mark, _parse(mark, model))
    return item.stash[_CALL][1]


@dataclass(frozen=True)
class Markers:
    """The values of a test's closest markers. None for a marker that is missing or invalid.

    Attributes:
        source: The source in `model_source`.
        hosted: Whether the gate marker allows the model host.
        mistakes: The error messages of invalid markers, by marker name.
    """

    source: str | None
    hosted: bool | None
    mistakes: Mapping[str, str]


def parse_markers(item: pytest.Item, gate: str) -> Markers:
    """Return the values of a test's markers, and what is wrong with them. `gate` is the name of the gate marker."""
    closest = {mark.name: mark for mark in reversed(list(item.iter_markers()))}
    mistakes: dict[str, str] = {}

    def good(name: str, said: T | _InvalidMark | None) -> T | None:
        if not isinstance(said, _InvalidMark):
            return said
        mistakes[name] = f"{said}{_OTHER_MARKER if name == gate else ''}"
        return None

    def read(name: str, signature: Callable[..., T]) -> T | None:
        return good(name, _parse(closest[name], signature)) if name in closest else None

    read(MODEL_ACCESS, model_access)
    good("model", _parse_call(item))
    return Markers(read("model_source", model_source), read(gate, integration), mistakes)


@dataclass(frozen=True)
class _InvalidMark:
    """Why the arguments of a marker are not valid for modelenv."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def _parse(mark: pytest.Mark, signature: Callable[..., T]) -> T | _InvalidMark:
    try:
        return signature(*mark.args, **mark.kwargs)
    except TypeError as error:
        said = str(error).replace(f"{signature.__name__}()", f"{mark.name}()", 1)
        return _InvalidMark(f"@pytest.mark.{mark.name}: {said}")
