"""One call computes at a time; one whose asker has gone is broken off as soon as another waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

from modelenv.breaking import BreakableCall
from modelenv.host.messages.transport import has_hung_up

T = TypeVar("T")
_LOOK_SECONDS = 0.2


class Computing:
    """The lock of those who compute, which knows for whom.

    A test that a timeout ended leaves its question behind: others should not wait for an answer that nobody takes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: tuple[Connection, BreakableCall] | None = None

    def acquire(self) -> None:
        """Wait for the lock, and break off a computation that is for nobody any more."""
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            if (current := self._current) is not None:
                asker, call = current
                call.break_off(partial(has_hung_up, asker))

    def release(self) -> None:
        """Let the next one compute."""
        self._lock.release()

    def run(self, asker: Connection, call: Callable[[], T]) -> T:
        """Return what `call` returns, for the process at the other end of `asker`. The caller has the lock.

        Raises:
            AbandonedError: that process has hung up, and somebody else waits.
        """
        breakable = BreakableCall()
        self._current = asker, breakable
        try:
            return breakable.run(call)
        finally:
            self._current = None
