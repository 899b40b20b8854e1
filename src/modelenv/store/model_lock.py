"""The lock of a model in a store, so that only one process at a time changes the model's files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.references import ModelRef

logger = logging.getLogger("modelenv")
_FIRST_NOTICE = 5.0  # seconds of waiting before a message is logged
_WAITING = "waiting for another process to fetch it"


@contextmanager
def holding(path: Path, ref: ModelRef, deadline: Deadline) -> Iterator[None]:
    """Context manager: hold the lock file. The lock is released when its process dies.

    Args:
        path: The lock file.
        ref: The model.
        deadline: The deadline for acquiring the lock.

    Raises:
        ModelLoadTimeoutError: Another process held the lock until the deadline.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)

    def acquired(seconds: float) -> bool:
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            return False
        return True

    with deadline.stages.doing(_WAITING):
        if not acquired(min(_FIRST_NOTICE, deadline.remaining)):
            logger.warning(
                "Another process is fetching %s; waiting for it at most %.0f s more (lock %s)",
                ref, deadline.remaining, path,
            )  # fmt: skip
            if not deadline.until(acquired):
                raise deadline.passed(ref.repo_id, f"{_WAITING} (lock {path})")
    try:
        yield
    finally:
        lock.release()
