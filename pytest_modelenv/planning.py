"""The order of a run with real models: tests that need none go first, then model after model.

Whoever hands out tests in that order keeps the tests of one model together, has something to run while the first
models are fetched and loaded, and seldom needs a model again that had to be unloaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import TypeVar

import pytest

from pytest_modelenv.markers import call_of
from pytest_modelenv.startup import FORCED_SOURCE

T = TypeVar("T")

UNKNOWN = object()
"""The model of a test that needs a real one and does not say which."""


def planned_order(tests: Sequence[T], model_of: Callable[[T], Hashable]) -> list[T]:
    """Return the tests in the order in which they should be handed out; within a model their order stays.

    Args:
        tests: in the order of their collection.
        model_of: the model that a test needs: None for no real one, `UNKNOWN` for one that it does not name.

    Returns:
        Those without a real model; then those of each model, the one with the most tests first; last those that name
        none, which may need any. The order depends on the tests alone, so every worker finds the same.
    """
    models = [model_of(test) for test in tests]
    count = Counter(models)
    known = sorted((model for model in count if model is not None and model is not UNKNOWN), key=lambda m: -count[m])
    place = {model: number for number, model in enumerate((None, *known, UNKNOWN))}
    return [test for _, test in sorted(zip(models, tests, strict=True), key=lambda pair: place[pair[0]])]


def planned_by_module(items: Sequence[pytest.Item], model_of: Callable[[pytest.Item], Hashable]) -> list[pytest.Item]:
    """Return a process's tests in a planned order that tears apart no module and no class, nor its fixtures."""
    modules = [list(group) for _, group in groupby(items, lambda item: item.getparent(pytest.Module))]
    planned = []
    for module in planned_order(modules, lambda tests: _model_of_all(tests, model_of)):
        classes = [list(group) for _, group in groupby(module, _class_or_itself)]
        for tests in planned_order(classes, lambda tests: _model_of_all(tests, model_of)):
            planned += tests
    return planned


def _class_or_itself(item: pytest.Item) -> pytest.Item | pytest.Collector:
    return item.getparent(pytest.Class) or item


def _model_of_all(tests: Sequence[pytest.Item], model_of: Callable[[pytest.Item], Hashable]) -> Hashable:
    """Return the first model that one of the tests needs; None where none of them needs one."""
    return next((model for model in map(model_of, tests) if model is not None), None)


def real_model_of(item: pytest.Item) -> Hashable:
    """Return the real model that a test needs, as `planned_order` takes it."""
    source = item.stash.get(FORCED_SOURCE, None)
    if source is None or source == "mock_models":
        return None
    call = call_of(item)
    if call is None:
        return UNKNOWN
    return (source, call.name, call.task, repr(sorted(call.pipeline_kwargs.items())))
