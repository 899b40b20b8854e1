"""The images in the arguments of a call, as several image pipelines accept them."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any


def take_images(args: Sequence[Any], kwargs: MutableMapping[str, Any]) -> Any:
    """Return the inputs of a call, and remove them from `kwargs`: its argument, `inputs=`, or `images=` beside it.

    Raises:
        TypeError: There are no inputs, or more positional arguments.
        ValueError: The inputs are None.
    """
    if len(args) + ("inputs" in kwargs) != 1:
        raise TypeError("the call takes its inputs as the only positional argument, or as inputs=…")
    inputs = args[0] if args else kwargs.pop("inputs")
    inputs = kwargs.pop("images", inputs)
    if inputs is None:
        raise ValueError("the inputs are None: pass an image, a path, a URL, or a list of these")
    return inputs
