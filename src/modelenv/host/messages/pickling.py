"""What may cross from a worker to its host: values of the libraries that both have, whole."""

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
    """An argument cannot be sent to the host; the call must be made in this process."""


def crossing(value: object) -> bytes:
    """Return the bytes of a value that the host can take for what it is here.

    Raises:
        CannotCrossError: a part of it is the user's own code, which the host may have in another version, and whose
            side effects would be lost there; or a part would arrive incomplete, or cannot be pickled.
    """
    data = io.BytesIO()
    try:
        _Pickler(data, pickle.HIGHEST_PROTOCOL).dump(value)
    except CannotCrossError:
        raise
    except Exception as error:  # objects raise whatever they like
        raise CannotCrossError(repr(error)) from error
    return data.getvalue()


class _Pickler(pickle.Pickler):
    """Looks at each part that is not of a builtin type."""

    def reducer_override(self, part: Any) -> Any:
        if isinstance(part, type | FunctionType):
            if not _is_of_a_library(part.__module__):
                raise CannotCrossError(f"{part.__module__}.{part.__qualname__} is code of the tests or the project")
        elif type(part).__module__.startswith("PIL.") and getattr(part, "_exif", None) is not None:
            raise CannotCrossError("an image's Exif data that was looked at or changed does not come along")
        return NotImplemented


@functools.cache
def _is_of_a_library(module: str) -> bool:
    """Whether a module is of Python, of this package, or of one that was installed beside it."""
    name = module.partition(".")[0]
    if name == "modelenv" or name in sys.stdlib_module_names:
        return True
    origin = getattr(getattr(sys.modules.get(module), "__spec__", None), "origin", None)
    return isinstance(origin, str) and origin.startswith(_installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    """Return the folders in which installed packages lie."""
    paths = sysconfig.get_paths()
    return tuple({paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()})
