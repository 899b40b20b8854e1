"""Whether a process still runs, on every system."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable


def is_running(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def watcher(pid: int | None) -> Callable[[float], bool]:
    """Return a function that waits so many seconds and says whether the process has ended; None never ends."""
    if pid is None:
        return lambda seconds: _later(seconds, lambda: False)
    if not hasattr(os, "pidfd_open"):
        return lambda seconds: _later(seconds, lambda: not is_running(pid))
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return lambda _: True
    return lambda seconds: bool(select.select([descriptor], [], [], seconds)[0])


def _later(seconds: float, answer: Callable[[], bool]) -> bool:
    time.sleep(seconds)
    return answer()
