"""Describes an answer by its structure, so that a real pipeline and a fake can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Override = Callable[[Any], str | None]


def describe(value: Any, override: Override = lambda _: None) -> str:
    """Return the structure of an answer: nesting, types, key order, lengths, shapes.

    Args:
        value: The answer, or a part of it.
        override: Is called for every part. If it returns a text, that is the part's description. With it, a
            contract adds invariants, and leaves out what depends on random weights.
    """
    text = override(value)
    if text is not None:
        return text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {describe(item, override)}" for key, item in value.items()) + "}"
    if type(value) in (list, tuple):
        left, right = "[]" if type(value) is list else "()"
        return left + ", ".join(repeated([describe(item, override) for item in value])) + right
    if hasattr(value, "__next__") and type(value).__module__ != "unittest.mock":
        count = attempt(lambda: str(len(value)))
        return f"iterator of {count} batches: " + attempt(lambda: describe(list(value), override))
    return name_of(value)


def name_of(value: Any) -> str:
    """Return the type of a value, with the dtype and shape of an array, or the mode and size of an image."""
    kind = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype") and type(value).__module__ != "unittest.mock":
        return f"{kind} {value.dtype} {list(value.shape)}"
    if hasattr(value, "mode") and hasattr(value, "size") and type(value).__module__.startswith("PIL"):
        return f"image {value.mode} {value.size}"
    return kind


def repeated(texts: list[str]) -> list[str]:
    """Return `texts` with each run of equal texts as one with its length, so that long answers stay readable."""
    runs: list[tuple[str, int]] = []
    for text in texts:
        if runs and runs[-1][0] == text:
            runs[-1] = (text, runs[-1][1] + 1)
        else:
            runs.append((text, 1))
    return [text if number == 1 else f"{number} x {text}" for text, number in runs]


def probability(value: Any) -> str | None:
    """Describe a float as a probability, for contracts whose floats are all probabilities."""
    if type(value) is not float and type(value).__name__ != "float32":
        return None
    return f"{type(value).__name__} in [0, 1]" if 0 <= value <= 1 else f"{type(value).__name__} out of range"


def ranking(scores: list[Any], labels: list[Any]) -> str:
    """Return which invariants of a ranked answer hold for these scores and labels."""
    falling = scores == sorted(scores, reverse=True)
    distinct = len(set(labels)) == len(labels)
    return f"falling={falling} distinct={distinct} sums to 1={abs(sum(scores) - 1) < 1e-5}"


def attempt(act: Callable[[], str]) -> str:
    """Return what `act` returns, or the class of its error."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - the class of the error is the outcome
        return type(error).__name__
