"""Sends an exception from one process to another, which raises it."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A pickled exception of the other process, with its traceback as text."""

    error: bytes
    trace: str

    @classmethod
    def of(cls, error: BaseException, *, is_known: Callable[[BaseException], bool] = lambda _: True) -> Failure:
        """Return the failure for `error`.

        If the error cannot be pickled, or the other process does not know its class, an exception of its nearest
        builtin base class is sent instead.

        Args:
            error: The exception.
            is_known: Returns whether the other process knows the exception's class.
        """
        trace = "".join(traceback.format_exception(error))
        for form in (_as_it_is, _without_init) if is_known(error) else ():
            try:
                data = form(error)
                pickle.loads(data)  # noqa: S301 - our own bytes: some exceptions can be pickled but not unpickled
            except Exception:  # noqa: BLE001, S112 - whatever goes wrong, the next form is tried
                continue
            return cls(data, trace)
        builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        return cls(pickle.dumps(builtin(str(error))), trace)

    def raise_here(self) -> None:
        """Raise the exception. Its cause is the other process's traceback."""
        error: BaseException = pickle.loads(self.error)  # noqa: S301 - from our own user, checked on connecting
        raise error from HostTraceback(self.trace)


class HostTraceback(Exception):  # noqa: N818 - never raised itself; it shows where an error was raised
    """The traceback of an exception in the host."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace)
        self.trace = trace

    def __str__(self) -> str:
        return f'\n"""\n{self.trace}"""'


def _as_it_is(error: BaseException) -> bytes:
    return pickle.dumps(error)


def _without_init(error: BaseException) -> bytes:
    """Pickle an exception whose `__init__` does not accept its `args`, such as transformers' PipelineException."""
    return pickle.dumps(_Rebuilt(type(error), error.args, vars(error)))


class _Rebuilt:
    """Unpickles as an exception of the class, which is created without calling `__init__`."""

    def __init__(self, kind: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> None:
        self._parts = kind, args, state

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, self._parts


def _rebuild(kind: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error
