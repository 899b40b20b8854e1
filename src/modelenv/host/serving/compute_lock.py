"""One call computes at a time; one whose asker has gone is broken off as soon as another waits."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from modelenv.host.messages.transport import has_hung_up

T = TypeVar("T")
_LOOK_SECONDS = 0.2
_COMES_WITHIN_SECONDS = 0.5


class AbandonedError(BaseException):
    """Raised in a computation whose asker has gone, at its next line of Python. No `except Exception` stops it."""


class Computing:
    """The lock of those who compute, which knows for whom.

    A test that a timeout ended leaves its question behind: others should not wait for an answer that nobody takes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guard = threading.Lock()
        self._asker: Connection | None = None
        self._thread = 0
        self._is_broken_off = False
        self._has_come = False

    def acquire(self) -> None:
        """Wait for the lock, and break off a computation that is for nobody any more."""
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            self._break_off_if_abandoned()

    def release(self) -> None:
        """Let the next one compute."""
        self._lock.release()

    def run(self, asker: Connection, call: Callable[[], T]) -> T:
        """Return what `call` returns, for the process at the other end of `asker`. The caller has the lock.

        Raises:
            AbandonedError: that process has hung up, and somebody else waits.
        """
        with self._guard:
            self._asker, self._thread = asker, threading.get_ident()
            self._is_broken_off = self._has_come = False
        try:
            try:
                return call()
            except AbandonedError:
                self._has_come = True
                raise
            finally:
                with self._guard:
                    self._asker = None
                self._wait_for_exception()
        except AbandonedError:
            self._asker = None
            raise

    def _wait_for_exception(self) -> None:
        """Let an exception that is on its way come here, where it is expected; the call may also have stopped it."""
        end = time.monotonic() + _COMES_WITHIN_SECONDS
        while self._is_broken_off and not self._has_come and time.monotonic() < end:
            time.sleep(0.001)

    def _break_off_if_abandoned(self) -> None:
        with self._guard:
            if self._asker is None or self._is_broken_off or not has_hung_up(self._asker):
                return
            self._is_broken_off = True
            # https://docs.python.org/3/c-api/init.html: the exception is raised asynchronously in that thread.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(AbandonedError))
