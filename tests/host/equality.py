"""Compares two results to the bit, for all types that pipelines return."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def difference(expected: Any, found: Any, place: str = "") -> str | None:
    """Return where and how `found` differs from `expected`, or None."""
    if type(expected) is not type(found):
        return f"{place}: a {type(found).__name__}, not a {type(expected).__name__}"
    if isinstance(expected, Mapping) or type(expected).__name__ == "BatchEncoding":
        if list(expected) != list(found):
            return f"{place}: the keys {list(found)}, not {list(expected)}"
        pairs = [(key, expected[key], found[key]) for key in expected]
    elif isinstance(expected, list | tuple):
        if len(expected) != len(found):
            return f"{place}: {len(found)} items, not {len(expected)}"
        pairs = [(number, *pair) for number, pair in enumerate(zip(expected, found, strict=True))]
    else:
        same = _bits(expected) == _bits(found)
        return None if same else f"{place}: {found!r}, not {expected!r}"
    for key, one, other in pairs:
        differs = difference(one, other, f"{place}[{key!r}]")
        if differs is not None:
            return differs
    return None


def _bits(value: Any) -> object:
    kind = f"{type(value).__module__}.{type(value).__name__}"
    if isinstance(value, float) and not kind.startswith("numpy"):
        return struct.pack("d", value)
    if kind == "torch.Tensor":
        return value.dtype, value.shape, value.numpy(force=True).tobytes()
    if kind.startswith("numpy."):
        return value.dtype, value.shape, value.tobytes()
    if kind == "PIL.Image.Image":
        return value.mode, value.size, value.tobytes()
    if isinstance(value, str | bytes | int | bool | type(None)):
        return value
    raise AssertionError(f"cannot compare a {kind}: {value!r}")


def error_difference(expected: BaseException, found: BaseException) -> str | None:
    """Return how two exceptions differ in class and text, ignoring addresses of objects, or None."""
    if type(expected) is not type(found):
        return f"{found!r}, not {expected!r}"
    texts = [_ADDRESS.sub("", str(error)) for error in (expected, found)]
    return None if texts[0] == texts[1] else f"{found!r}, not {expected!r}"
