"""The context of a call: the current folder, and the state of torch's random number generator.

A worker sends both with each call, and receives the new random state. So `torch.manual_seed` and
`transformers.set_seed` in a test, and a change of the current folder, have the same effect on a hosted pipeline as on
a local one.
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
    """The current folder and the random state of one process.

    Attributes:
        folder: The current folder. None: it was deleted, or this is not sent by a worker.
        random: The state of torch's random number generator on the CPU. None: it has not changed, or torch is not
            imported, so that nothing in the process can have seeded it.
    """

    folder: str | None = None
    random: bytes | None = None


def own_surroundings() -> Surroundings:
    """Return the surroundings of this process, for the host."""
    is_imported = hasattr(_torch(), "get_rng_state")  # missing while torch is being imported
    return Surroundings(_folder(), random_state() if is_imported else None)


def continue_from(surroundings: Surroundings) -> None:
    """Set the random state of this process to that of the other process, if it has changed."""
    if surroundings.random is not None:
        torch = _torch()
        torch.set_rng_state(torch.frombuffer(bytearray(surroundings.random), dtype=torch.uint8))


class Turn:
    """One worker's turn to compute, in its own surroundings.

    The current folder and the random state belong to the whole process, so only one worker at a time has its turn.

    Args:
        computing: The lock, which is held during a turn.
        surroundings: The surroundings of the worker.
    """

    def __init__(self, computing: threading.Lock, surroundings: Surroundings) -> None:
        self._lock = computing
        self._surroundings = surroundings
        self._has_moved = False
        self._is_held = False

    def begin(self) -> None:
        """Wait for the turn, and apply the surroundings. If that fails, the turn does not begin."""
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
        """End the turn. Returns what has changed for the worker since its last message.

        Does nothing if the turn did not begin.
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

    def update(self, surroundings: Surroundings) -> None:
        """Use these surroundings of the worker from the next turn on."""
        self._surroundings = surroundings


@functools.cache
def _own_folder() -> tuple[str, int]:
    """Return the current folder outside of turns: its path, and a descriptor that works even if it is deleted."""
    descriptor = os.open(".", os.O_RDONLY)
    return _folder() or "", descriptor


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - faster than `Path.cwd`, in each call
    except FileNotFoundError:  # the folder was deleted
        return None


def random_state() -> bytes:
    """Return the state of torch's random number generator on the CPU."""
    state: bytes = _torch().get_rng_state().numpy().tobytes()
    return state


def _torch() -> Any:
    return sys.modules.get("torch")
