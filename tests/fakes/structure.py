"""Describes an answer by its structure, so that a real pipeline and a fake can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .text_classification_cases import Case


def describe(value: Any, case: Case) -> str:
    """Return the structure of an answer: nesting, types, key order, lengths, and the laws of its scores."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {describe(item, case)}" for key, item in value.items()) + "}"
    if type(value) is list:
        text = "[" + ", ".join(describe(item, case) for item in value) + "]"
        ranked = case.is_ranked and value and all(type(item) is dict for item in value)
        return text + (f" {_laws(value)}" if ranked else "")
    if type(value) is float and case.is_probability:
        return "float in [0, 1]" if 0 <= value <= 1 else "float out of range"
    if hasattr(value, "__next__") and type(value).__module__ != "unittest.mock":
        return f"iterator of {_attempt(lambda: str(len(value)))} batches: " + _attempt(
            lambda: describe(list(value), case)
        )
    return type(value).__name__


def _laws(answers: list[dict[str, Any]]) -> str:
    scores = [answer["score"] for answer in answers]
    falling = scores == sorted(scores, reverse=True)
    distinct = len({answer["label"] for answer in answers}) == len(answers)
    return f"falling={falling} distinct={distinct} sums to 1={abs(sum(scores) - 1) < 1e-6}"


def _attempt(act: Callable[[], str]) -> str:
    try:
        return act()
    except Exception as error:  # noqa: BLE001 (the class of the error is the answer)
        return f"{type(error).__name__}"


def outcome(case: Case, build: Callable[..., Any]) -> str:
    """Return the structure that `build(variant, **kwargs)` answers to the case, or its error's class."""
    return _attempt(
        lambda: describe(getattr(build(case.variant, **case.build), case.method)(case.make(), **case.call), case)
    )
