"""Checks and pickles the values that a worker sends to its host: complete, and without code of the user."""

from __future__ import annotations

import functools
import io
import pickle
import site
import sys
import sysconfig
from types import FunctionType
from typing import Any


class CannotCrossError(Exception):
    """A value cannot be sent to the host, or cannot come back from it. The call must be made in this process."""


def crossing(value: object) -> bytes:
    """Return the pickled value, which means the same in the host as here.

    Raises:
        CannotCrossError: A part of the value is code of the user, which the host could have in another version and
            whose side effects would be lost there. Or a part cannot be pickled, or would arrive incomplete.
    """
    data = io.BytesIO()
    try:
        _Pickler(data, pickle.HIGHEST_PROTOCOL).dump(value)
    except CannotCrossError:
        raise
    except Exception as error:  # an object can raise any exception
        raise CannotCrossError(repr(error)) from error
    return data.getvalue()


class _Pickler(pickle.Pickler):
    """Checks each part that is not of a builtin type."""

    def reducer_override(self, part: Any) -> Any:
        if isinstance(part, type | FunctionType):
            if not _is_of_a_library(part.__module__):
                raise CannotCrossError(f"{part.__module__}.{part.__qualname__} belongs to the tests or the project")
        elif type(part).__module__.startswith("PIL.") and getattr(part, "_exif", None) is not None:
            raise CannotCrossError("the Exif data of an image that was read or changed cannot be pickled")
        return NotImplemented


@functools.cache
def _is_of_a_library(module: str) -> bool:
    """Whether a module belongs to Python, to this package, or to an installed package."""
    name = module.partition(".")[0]
    if name == "modelenv" or name in sys.stdlib_module_names:
        return True
    origin = getattr(getattr(sys.modules.get(module), "__spec__", None), "origin", None)
    return isinstance(origin, str) and origin.startswith(_installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    """Return the folders that contain installed packages."""
    paths = sysconfig.get_paths()
    return tuple({paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()})
