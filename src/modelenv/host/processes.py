"""Checks whether a process is running, and what it does, on every system."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def state_of(pid: int) -> str | None:
    """Return the letter for a process's state, such as T for stopped, or None if the system does not report it."""
    fields = _stat(pid)
    return None if fields is None else fields[0]


def processor_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used, or None if the system does not report it."""
    fields = _stat(pid)
    return None if fields is None else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """Return the fields of `/proc/PID/stat` from the third on. The second, the command, can contain any character."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def watcher(pid: int | None) -> Callable[[float], bool]:
    """Return a function that waits for so many seconds and returns whether the process has ended.

    It always returns False if `pid` is None.
    """
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
