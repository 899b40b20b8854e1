"""Descriptions of answers whose number or length depends on random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..contract import Case
from ..structure import describe, name_of, probability, ranking, repeated


def ranked(number: int | None = None) -> Callable[[Any, Case], str]:
    """Return a function that describes ranked labels: scores are probabilities, sorted, and sum to 1.

    Args:
        number: The number of labels of the model. The sum is checked only if the answer has all of them. None: the
            answer always has all of them.
    """

    def of(answer: Any, case: Case) -> str:
        function = str(case.call.get("function_to_apply", case.build.get("function_to_apply"))).lower()
        raw = function == "none" or "regression" in case.variant

        def override(value: Any) -> str | None:
            if type(value) is list and value and all(type(item) is dict for item in value):
                laws = ranking([item["score"] for item in value], [item["label"] for item in value])
                if number is not None and len(value) < number:
                    laws = laws.rpartition(" sums to 1")[0]
                return "[" + ", ".join(repeated([describe(item, override) for item in value])) + f"] {laws}"
            return None if raw else probability(value)

        return describe(answer, override)

    return of


def kinds(answer: Any, _: Case) -> str:
    """Describe a list of dicts by the kinds of its items, because their number depends on random weights."""

    def override(value: Any) -> str | None:
        if type(value) is list and value and all(type(item) is dict for item in value):
            return "some of " + " or ".join(sorted({describe(item, override) for item in value}))
        if hasattr(value, "getextrema"):
            return f"{name_of(value)} black or white={set(value.getextrema()) <= {0, 255}}"
        return probability(value)

    return describe(answer, override)


def lengthless(value: Any) -> str | None:
    """Describe an array by its dtype and number of dimensions, because its length depends on random weights."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and type(value).__module__ != "unittest.mock":
        return f"{type(value).__name__} {value.dtype} of {len(value.shape)} dimensions"
    return None
