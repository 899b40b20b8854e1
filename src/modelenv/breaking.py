"""A call on one thread that another thread may break off, when nobody waits for its result any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_COMES_WITHIN_SECONDS = 0.5


class AbandonedError(BaseException):
    """Raised in a call that is broken off, at its next line of Python. No `except Exception` stops it."""


class BreakableCall:
    """One call, run once."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._thread = 0
        self._is_broken_off = False
        self._has_come = False

    @property
    def is_broken_off(self) -> bool:
        """Whether it was broken off while it ran; it may not have noticed yet."""
        return self._is_broken_off

    def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns.

        Raises:
            AbandonedError: it was broken off.
        """
        with self._guard:
            self._thread = threading.get_ident()
        try:
            try:
                return call()
            except AbandonedError:
                self._has_come = True
                raise
            finally:
                with self._guard:
                    self._thread = 0
                self._wait_for_exception()
        except AbandonedError:
            self._thread = 0
            raise

    def _wait_for_exception(self) -> None:
        """Let an exception that is on its way come here, where it is expected; the call may also have stopped it."""
        end = time.monotonic() + _COMES_WITHIN_SECONDS
        while self._is_broken_off and not self._has_come and time.monotonic() < end:
            time.sleep(0.001)

    def break_off(self, reason: Callable[[], bool] = lambda: True) -> None:
        """Break the call off if it runs and there is a reason to; does nothing the second time."""
        import ctypes  # takes longer than all the rest here

        with self._guard:
            if not self._thread or self._is_broken_off or not reason():
                return
            self._is_broken_off = True
            # https://docs.python.org/3/c-api/init.html: the exception is raised asynchronously in that thread.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(AbandonedError))
