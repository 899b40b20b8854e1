"""The order of a run with real models: first the tests that need none, then the tests of each model in turn.

This order leaves tests to run while the first models are fetched and loaded. It also keeps the tests of each model
together, so that an unloaded model seldom has to be loaded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import pytest

from pytest_modelenv.gate import is_hosted
from pytest_modelenv.markers import ModelCall, call_of
from pytest_modelenv.startup import FORCED_SOURCE

T = TypeVar("T")

UNKNOWN = object()
"""Stands for the model of a test that needs a real model but does not name it."""


def planned_order(tests: Sequence[T], model_of: Callable[[T], Hashable]) -> list[T]:
    """Return the tests in the order in which they should run. Tests of the same model keep their order.

    Args:
        tests: The tests in collection order.
        model_of: Returns the model that a test needs: None for no real model, `UNKNOWN` for one that is not named.

    Returns:
        First the tests without a real model, then the tests of each model, starting with the model that has the most
        tests, and last the tests that do not name their model. The order depends only on the tests, so all workers
        compute the same order.
    """
    models = [model_of(test) for test in tests]
    count = Counter(models)
    known = sorted((model for model in count if model is not None and model is not UNKNOWN), key=lambda m: -count[m])
    place = {model: number for number, model in enumerate((None, *known, UNKNOWN))}
    return [test for _, test in sorted(zip(models, tests, strict=True), key=lambda pair: place[pair[0]])]


def planned_by_module(items: Sequence[pytest.Item], model_of: Callable[[pytest.Item], Hashable]) -> list[pytest.Item]:
    """Return the tests in planned order, but keep modules and classes together, because of their fixtures."""
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
    """Return the first model that one of the tests needs, or None if they need none."""
    return next((model for model in map(model_of, tests) if model is not None), None)


def real_model_of(item: pytest.Item) -> Hashable:
    """Return the real model that a test needs, in the form for `planned_order`."""
    source = item.stash.get(FORCED_SOURCE, None)
    if source is None or source == "mock_models":
        return None
    call = call_of(item)
    if call is None:
        return UNKNOWN
    return (source, call.name, call.task, repr(sorted(call.pipeline_kwargs.items())))


def planned(items: Iterable[pytest.Item], source: str) -> Iterator[ModelCall]:
    """Yield the models that tests forced to `source` will load from the host, as far as their markers name them."""
    for item in items:
        call = call_of(item)
        if (
            call is not None
            and is_hosted(item)
            and item.stash.get(FORCED_SOURCE, None) == source
            and not _is_skipped(item)
        ):
            yield call


def _is_skipped(item: pytest.Item) -> bool:
    """Whether `skip` and `skipif` markers will skip the test. Conditions in the form of strings are ignored."""
    given = [(*mark.args, mark.kwargs.get("condition")) for mark in item.iter_markers("skipif")]
    holds = any(condition for conditions in given for condition in conditions if not isinstance(condition, str))
    return holds or item.get_closest_marker("skip") is not None
