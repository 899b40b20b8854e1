"""Waits for other processes, with a deadline that only a hang reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return as soon as the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """The letter of a process's state in proc(5), such as T for stopped, or "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    return state_of(pid) not in ("", "Z")
