"""What a call depends on beside its arguments: where relative paths begin, and torch's random numbers.

A worker sends both with each question, and takes back how far the random numbers have gone. So `torch.manual_seed`
and `transformers.set_seed` in a test, and a change of folder, mean for a hosted pipeline what they mean for a local
one.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Surroundings:
    """Those of one process at one moment.

    Attributes:
        folder: its current folder; None where it is none of the worker's, or was deleted.
        random: the state of torch's random numbers on the CPU; None where torch is not imported, so that nothing in
            the process can have seeded it, or where it has not changed.
    """

    folder: str | None = None
    random: bytes | None = None


def own_surroundings() -> Surroundings:
    """Return those of this process, for the other one."""
    is_imported = hasattr(_torch(), "get_rng_state")  # not while it is being imported
    return Surroundings(_folder(), random_state() if is_imported else None)


def continue_from(surroundings: Surroundings) -> None:
    """Go on with the random numbers where the other process stopped."""
    if surroundings.random is not None:
        torch = _torch()
        torch.set_rng_state(torch.frombuffer(bytearray(surroundings.random), dtype=torch.uint8))


class Turn:
    """One worker's turn to compute, in its own surroundings; which belong to the process, so that turns are taken.

    Args:
        computing: the lock, held by whose turn it is.
        surroundings: the worker's.
    """

    def __init__(self, computing: threading.Lock, surroundings: Surroundings) -> None:
        self._lock = computing
        self._surroundings = surroundings
        self._has_moved = False
        self._is_held = False

    def begin(self) -> None:
        """Wait for the turn; without it where it cannot begin."""
        self._lock.acquire()
        try:
            folder, (own, _) = self._surroundings.folder, _own_folder()
            self._has_moved = folder is not None and folder != own
            if folder is not None and self._has_moved:
                os.chdir(folder)
            continue_from(self._surroundings)
        except BaseException:
            self._lock.release()
            raise
        self._is_held = True

    def end(self) -> Surroundings:
        """Let others have their turns; return what has changed for the worker since it was last told.

        Does nothing where the turn did not begin.
        """
        if not self._is_held:
            return Surroundings()
        before = self._surroundings.random
        now = None if before is None else random_state()
        if self._has_moved:
            os.chdir(_own_folder()[1])
        self._is_held = False
        self._lock.release()
        self._surroundings = replace(self._surroundings, random=now)
        return Surroundings(None, None if now == before else now)

    def taken_over(self, surroundings: Surroundings) -> None:
        """Take note of what the worker has changed meanwhile, for the next turn."""
        self._surroundings = surroundings


@functools.cache
def _own_folder() -> tuple[str, int]:
    """Return where this process is outside of turns: the path, and a descriptor that outlives the folder."""
    descriptor = os.open(".", os.O_RDONLY)
    return _folder() or "", descriptor


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - `Path.cwd` costs more, in each call
    except FileNotFoundError:  # it was deleted
        return None


def random_state() -> bytes:
    """Return the state of torch's random numbers on the CPU."""
    state: bytes = _torch().get_rng_state().numpy().tobytes()
    return state


def _torch() -> Any:
    return sys.modules.get("torch")
