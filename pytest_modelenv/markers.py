"""The plugin's markers: checked at collection, turned into an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from pytest_modelenv.options import ModelOptions
from pytest_modelenv.startup import FORCED_SOURCE, NEEDS_REAL_MODELS

T = TypeVar("T")

MODEL_ACCESS = "model_access"
_HOSTED = pytest.StashKey[bool]()


@dataclass(frozen=True)
class ModelCall:
    """What a `model` marker says: the arguments for `load_model`."""

    name: str
    task: str | None
    pipeline_kwargs: Mapping[str, Any]


def model(name: str, task: str | None = None, **pipeline_kwargs: Any) -> ModelCall:
    """Return what `pytest.mark.model(...)` with these arguments says."""
    if not isinstance(name, str) or not isinstance(task, str | None):
        raise TypeError("name and task must be text")
    return ModelCall(name, task, pipeline_kwargs)


def model_source(source: str) -> str:
    """Return the value of the source that `pytest.mark.model_source(source)` names."""
    from modelenv.environment.sources import ModelSource
    from modelenv.errors import ConfigurationError

    try:
        return ModelSource.parse(source).value
    except ConfigurationError as error:
        raise TypeError(f"{error.what} {error.found}, expected {error.expected}") from None


def integration(*, host: bool = True) -> bool:
    """Return whether `pytest.mark.integration(...)` with these arguments allows the model host."""
    if not isinstance(host, bool):
        raise TypeError("host must be True or False")
    return host


def model_access() -> None:
    """Take the arguments of `pytest.mark.model_access`, which has none."""


def model_call(node: pytest.Item) -> ModelCall:
    """Return what the closest `model` marker of a test says.

    Raises:
        pytest.UsageError: there is none, or its arguments are wrong.
    """
    mark = node.get_closest_marker("model")
    if mark is None:
        raise pytest.UsageError(
            f"{node.nodeid}: the fixture `model` needs the marker @pytest.mark.model(name, task=...) on the test"
        )
    return _read(mark, model, node)


def prepare(item: pytest.Item, options: ModelOptions) -> None:
    """Check a collected test's markers; skip the test, or note the source to force, if they ask for it.

    Raises:
        pytest.UsageError: a marker has wrong arguments.
    """
    closest = {mark.name: mark for mark in reversed(list(item.iter_markers()))}
    if "model" in closest:
        _read(closest["model"], model, item)
    if MODEL_ACCESS in closest:
        _read(closest[MODEL_ACCESS], model_access, item)
    source = _read(closest["model_source"], model_source, item) if "model_source" in closest else None
    if "integration" in closest:
        item.stash[_HOSTED] = _read(closest["integration"], integration, item)
        if not options.real_models:
            item.add_marker(pytest.mark.skip(reason=NEEDS_REAL_MODELS))
            return
        source = source or options.source.value
    if source is not None:
        item.stash[FORCED_SOURCE] = source


def is_hosted(item: pytest.Item) -> bool:
    """Return whether the test's real models may be those of the model host."""
    return item.stash.get(_HOSTED, True)


def planned(items: Iterable[pytest.Item], source: str) -> Iterator[ModelCall]:
    """Yield what the tests that are forced to `source` will ask the model host for, as far as their markers say."""
    for item in items:
        if (
            is_hosted(item)
            and item.stash.get(FORCED_SOURCE, None) == source
            and item.get_closest_marker("model") is not None
            and not _is_skipped(item)
        ):
            yield model_call(item)


def _is_skipped(item: pytest.Item) -> bool:
    """Whether pytest will skip a test for its markers, as far as they say without conditions as text."""
    given = [(*mark.args, mark.kwargs.get("condition")) for mark in item.iter_markers("skipif")]
    holds = any(condition for conditions in given for condition in conditions if not isinstance(condition, str))
    return holds or item.get_closest_marker("skip") is not None


def _read(mark: pytest.Mark, signature: Callable[..., T], item: pytest.Item) -> T:
    try:
        return signature(*mark.args, **mark.kwargs)
    except TypeError as error:
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.{mark.name}: {error}") from None
