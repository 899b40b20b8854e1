"""A lock so that a process builds one model at a time, even if a build hangs.

While transformers builds a model, it changes defaults of the whole process: the dtype of new tensors, how weights are
initialised, and whether they are tied. Two builds at the same time would interfere with each other, and so would a
fork in the middle of a build. So builds take turns, and a fork waits for the current turn.

A build that makes no progress after its load's deadline loses its turn. Its thread cannot be stopped, so the build is
abandoned: its result is discarded if it ever arrives, the defaults are restored to what they were before it, and
other builds continue. Their results are used only if no abandoned build made progress in the meantime; otherwise
they are repeated.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from modelenv import forks
from modelenv.deadlines import Deadline
from modelenv.loading.process_defaults import Defaults

T = TypeVar("T")
_IDLE_SECONDS = 1.0  # a build without progress for this long after its deadline loses its turn
_FORK_SECONDS = 120.0  # how long a fork waits for a build
_FORK_IDLE_SECONDS = 20.0  # the same without progress: the build might need a lock of the forking thread
_POLL_SECONDS = 0.2


@dataclass(eq=False)
class _Turn:
    """One build or import.

    Attributes:
        what: The event that others wait for, for errors.
        model: The model's name, for errors.
        deadline: The deadline of the load.
        thread: The identifier of the thread of this turn.
        defaults: The defaults of the process before the build.
        has_ended: Whether the turn is over.
    """

    what: str
    model: str
    deadline: Deadline
    thread: int = field(default_factory=threading.get_ident)
    defaults: Defaults | None = None
    has_ended: bool = False
    _seen: tuple[object, float] = (None, 0.0)

    def position(self) -> object:
        """Return the position of the thread in its code, as a value that changes when the thread makes progress."""
        if self.has_ended:
            return None
        frame, calls = sys._current_frames().get(self.thread), []  # noqa: SLF001 - documented in the sys module
        while frame is not None:
            calls.append((id(frame.f_code), frame.f_lasti))
            frame = frame.f_back
        return calls

    def idle_seconds(self) -> float:
        """Return for how long the thread was at the same position in every call of this function."""
        position, now = self.position(), time.monotonic()
        if self._seen[0] != position:
            self._seen = (position, now)
        return now - self._seen[1]


class BuildLock:
    """The turns of one process.

    Args:
        defaults: Returns the current values of the defaults that a build can change for the whole process.
    """

    def __init__(self, defaults: Callable[[], Defaults]) -> None:
        self._defaults = defaults
        self._changed = threading.Condition()
        self._holder: _Turn | None = None
        self._abandoned: list[_Turn] = []
        self._clean: Defaults | None = None  # from before the first of the abandoned builds
        self._forks = 0
        self.has_built = False
        self._holds_off_forks = False
        forks.at_fork(self, BuildLock._reset_in_child)

    @contextmanager
    def importing(self, deadline: Deadline) -> Iterator[None]:
        """Take a turn for an import.

        Raises:
            ModelLoadTimeoutError: The deadline passed before the turn began.
        """
        with self._turn(_Turn("torch and transformers to be imported", "torch and transformers", deadline)):
            yield

    def build(self, model: str, deadline: Deadline, work: Callable[[], T]) -> T:
        """Call `work` in a turn, and return its result. A build that was disturbed is repeated.

        Raises:
            ModelLoadTimeoutError: The deadline passed before the turn began, or the build lost its turn.
        """
        turn = _Turn(f"{model} to be built", model, deadline)
        with self._turn(turn):
            self.has_built = True
            while True:
                others = self._begin(turn)
                result: T | None = None
                error: Exception | None = None
                try:
                    result = work()
                except Exception as raised:  # noqa: BLE001 - raised below, unless the build is repeated
                    error = raised
                if self._holder is not turn:
                    doing = "building the pipeline, which made no progress, so other builds continued"
                    raise deadline.passed(model, doing)
                if all(other.position() == position for other, position in others):
                    if error is not None:
                        raise error
                    return result  # type: ignore[return-value]
                if not deadline.remaining:
                    doing = "building it again, because another build that had hung resumed and interfered with it"
                    raise deadline.passed(model, doing)

    def _begin(self, turn: _Turn) -> list[tuple[_Turn, object]]:
        """Prepare the process for a build, and return the abandoned builds with their positions."""
        with self._changed:
            positions = [(other, other.position()) for other in self._abandoned]
            if self._clean is not None:
                self._clean.restore()
            turn.defaults = self._clean or self._defaults()
            return positions

    @contextmanager
    def _turn(self, turn: _Turn) -> Iterator[None]:
        with self._changed:
            if not self._holds_off_forks:
                self._holds_off_forks = True
                forks.hold_off(self, BuildLock._wait_before_fork, BuildLock._resume_after_fork)
            self._wait_for_turn(turn)
            self._holder = turn
        try:
            yield
        finally:
            with self._changed:
                self._end(turn)

    def _end(self, turn: _Turn) -> None:
        turn.has_ended = True
        self._abandoned = [other for other in self._abandoned if other is not turn]
        self._holder = None if self._holder is turn else self._holder
        if self._holder is None and self._clean is not None:  # else the current build restores them when it ends
            self._clean.restore()
            self._clean = self._clean if self._abandoned else None
        self._changed.notify_all()

    def _wait_for_turn(self, turn: _Turn) -> None:
        while (other := self._holder) is not None or self._forks:
            seconds = turn.deadline.patience
            if other is not None and other.deadline.remaining:
                seconds = min(seconds, other.deadline.patience)
            elif other is not None:
                seconds = min(seconds, _POLL_SECONDS)
                if other.idle_seconds() > _IDLE_SECONDS:
                    self._abandon(other)
                    continue
            if not turn.deadline.remaining:
                what = "this process to fork" if other is None else other.what
                raise turn.deadline.passed(turn.model, f"waiting for {what}")
            self._changed.wait(seconds)

    def _abandon(self, other: _Turn) -> None:
        self._abandoned = [*self._abandoned, other]
        self._clean = self._clean or other.defaults
        self._holder = None

    def _wait_before_fork(self) -> None:
        """Wait for the turn of another thread, as long as it makes progress and has time left."""
        own, end = threading.get_ident(), time.monotonic() + _FORK_SECONDS
        with self._changed:
            self._forks += 1  # no turn begins in the meantime
            while (other := self._holder) is not None and other.thread != own and other.deadline.remaining:
                if other.idle_seconds() > _FORK_IDLE_SECONDS or time.monotonic() > end:
                    break
                self._changed.wait(_POLL_SECONDS)

    def _resume_after_fork(self) -> None:
        with self._changed:
            self._forks = max(0, self._forks - 1)
            self._changed.notify_all()

    def _reset_in_child(self) -> None:
        """In a forked child: forget the turns of other threads, and restore the defaults that they changed."""
        holder, self._changed = self._holder, threading.Condition()
        is_own = holder is not None and holder.thread == threading.get_ident()
        clean = self._clean or (None if holder is None or is_own else holder.defaults)
        if clean is not None:
            clean.restore()
        self._holder = holder if is_own else None
        self._abandoned, self._clean, self._forks = [], None, 0
