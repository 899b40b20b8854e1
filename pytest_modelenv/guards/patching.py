"""Replaces functions of other libraries for the length of a run.

A replacement looks like the original: it has the same name and signature, and is a coroutine function if the original
is one. Libraries that mock HTTP clients inspect the functions that they replace.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Patch:
    """A patched function.

    Attributes:
        owner: The module or class that has the function.
        name: The function's name in `owner` and in `copies`.
        copies: The names of modules that import the function, before or after it is patched.
        original: The original function.
        replacement: The function that replaces it.
    """

    owner: Any
    name: str
    copies: tuple[str, ...]
    original: Any
    replacement: Any

    def replace(self, old: Any, new: Any) -> None:
        """Replace `old` with `new` in all modules. A function that other code has replaced is left as it is."""
        for holder in (self.owner, *(sys.modules[copy] for copy in self.copies if copy in sys.modules)):
            if vars(holder).get(self.name) is old:
                setattr(holder, self.name, new)

    def undo(self) -> None:
        """Restore the original function."""
        self.replace(self.replacement, self.original)


def patch(module: str, path: str, wrap: Callable[[Any], Any], copies: tuple[str, ...] = ()) -> Patch | None:
    """Replace a function of an imported module by what `wrap` returns for it.

    Args:
        module: The module's name.
        path: The dotted name within the module.
        wrap: Returns the replacement.
        copies: Modules that import the function under the same name.

    Returns:
        The patch, or None if the installed version of the library lacks the function.
    """
    *parents, name = path.split(".")
    owner: Any = sys.modules[module]
    for parent in parents:
        owner = getattr(owner, parent, None)
    original = getattr(owner, "__dict__", {}).get(name)
    if original is None:
        return None
    made = Patch(owner, name, copies, original, wrap(original))
    made.replace(original, made.replacement)
    return made


def like(original: Any) -> Callable[[Any], Any]:
    """Decorator: give a replacement the name, the docstring and the signature of the original."""

    def dressed(replacement: Any) -> Any:
        functools.update_wrapper(replacement, original)
        with suppress(ValueError, TypeError):  # functions in native code can lack a signature
            replacement.__signature__ = inspect.signature(original)
        return replacement

    return dressed
