"""Exceptions that arise in one process and are raised in another."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """An exception of the other process: pickled, with its traceback as text."""

    error: bytes
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure for `error`; one that does not pickle becomes its nearest builtin class."""
        trace = "".join(traceback.format_exception(error))
        try:
            data = pickle.dumps(error)
            pickle.loads(data)  # noqa: S301 - our own bytes: some exceptions pickle and do not come back
        except Exception:  # noqa: BLE001 - whatever goes wrong, the builtin parent crosses
            builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
            data = pickle.dumps(builtin(str(error)))
        return cls(data, trace)

    def raise_here(self) -> None:
        """Raise the exception, with the other process's traceback as its cause."""
        error: BaseException = pickle.loads(self.error)  # noqa: S301 - from our own user's host, checked on connecting
        raise error from HostTraceback(self.trace)


class HostTraceback(Exception):  # noqa: N818 - never raised by itself; it shows where an error arose
    """The traceback of an exception, as it was in the host."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace)
        self.trace = trace

    def __str__(self) -> str:
        return f'\n"""\n{self.trace}"""'
