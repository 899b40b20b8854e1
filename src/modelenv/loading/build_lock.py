"""One model is built at a time in a process, and a build that hangs does not stop the others.

While transformers builds a model, it changes defaults of the whole process: the dtype of new tensors, how weights are
initialised, whether they are tied. Two builds at once would disturb each other, and so would a fork in the middle of
one. So builds take turns, and a fork waits for the turn that is under way.

A build that stands still after its load's deadline loses its turn. Its thread can't be ended, so it is left behind:
its result is discarded if it ever comes, the defaults are set back to what they were before it, and other builds go
on. Their results count only if the build that was left behind did not move meanwhile; otherwise they are repeated.
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
_STILL_SECONDS = 1.0  # after its deadline, a build that does not move for as long loses its turn
_FORK_SECONDS = 120.0  # how long a fork waits for a turn
_FORK_STILL_SECONDS = 20.0  # how long it waits for one that does not move: it may need a lock of the forking thread
_LOOK_SECONDS = 0.2


@dataclass(eq=False)
class _Turn:
    """One build or import.

    Attributes:
        what: what others wait for.
        model: the model's name, for errors.
        deadline: the deadline of its load.
        thread: the thread that it runs on.
        defaults: the defaults of the process before it began.
        has_ended: whether it is over.
    """

    what: str
    model: str
    deadline: Deadline
    thread: int = field(default_factory=threading.get_ident)
    defaults: Defaults | None = None
    has_ended: bool = False
    _seen: tuple[object, float] = (None, 0.0)

    def place(self) -> object:
        """Return a value that differs once the thread has moved."""
        if self.has_ended:
            return None
        frame, places = sys._current_frames().get(self.thread), []  # noqa: SLF001 - documented in the sys module
        while frame is not None:
            places.append((id(frame.f_code), frame.f_lasti))
            frame = frame.f_back
        return places

    def still_seconds(self) -> float:
        """Return for how long the thread was at the same place whenever somebody looked."""
        place, now = self.place(), time.monotonic()
        if self._seen[0] != place:
            self._seen = (place, now)
        return now - self._seen[1]


class BuildLock:
    """The turns of one process.

    Args:
        defaults: returns what a build may change for the whole process, as it is now.
    """

    def __init__(self, defaults: Callable[[], Defaults]) -> None:
        self._defaults = defaults
        self._changed = threading.Condition()
        self._holder: _Turn | None = None
        self._left_behind: list[_Turn] = []
        self._clean: Defaults | None = None  # what the first build that was left behind has found
        self._forks = 0
        self.has_built = False
        self._holds_off_forks = False
        forks.at_fork(self, BuildLock._begin_anew)

    @contextmanager
    def importing(self, deadline: Deadline) -> Iterator[None]:
        """Take a turn for an import.

        Raises:
            ModelLoadTimeoutError: the deadline passed before its turn came.
        """
        with self._turn(_Turn("torch and transformers to be imported", "torch and transformers", deadline)):
            yield

    def build(self, model: str, deadline: Deadline, work: Callable[[], T]) -> T:
        """Call `work` in a turn of its own, once or more, and return what it returns.

        Raises:
            ModelLoadTimeoutError: the deadline passed before its turn came, or the turn was lost.
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
                    raise deadline.passed(model, "building the pipeline, which did not move, so that others went on")
                if all(other.place() == place for other, place in others):
                    if error is not None:
                        raise error
                    return result  # type: ignore[return-value]
                if not deadline.remaining:
                    doing = "building it again, because another build, which had hung, went on and disturbed it"
                    raise deadline.passed(model, doing)

    def _begin(self, turn: _Turn) -> list[tuple[_Turn, object]]:
        """Prepare the process for a build. Return the builds that were left behind, with the place of each."""
        with self._changed:
            places = [(other, other.place()) for other in self._left_behind]
            if self._clean is not None:
                self._clean.put_back()
            turn.defaults = self._clean or self._defaults()
            return places

    @contextmanager
    def _turn(self, turn: _Turn) -> Iterator[None]:
        with self._changed:
            if not self._holds_off_forks:
                self._holds_off_forks = True
                forks.hold_off(self, BuildLock._wait_before_fork, BuildLock._go_on_after_fork)
            self._wait_for_turn(turn)
            self._holder = turn
        try:
            yield
        finally:
            with self._changed:
                self._end(turn)

    def _end(self, turn: _Turn) -> None:
        turn.has_ended = True
        self._left_behind = [other for other in self._left_behind if other is not turn]
        self._holder = None if self._holder is turn else self._holder
        if self._holder is None and self._clean is not None:  # else whoever builds now does it
            self._clean.put_back()
            self._clean = self._clean if self._left_behind else None
        self._changed.notify_all()

    def _wait_for_turn(self, turn: _Turn) -> None:
        while (other := self._holder) is not None or self._forks:
            seconds = turn.deadline.patience
            if other is not None and other.deadline.remaining:
                seconds = min(seconds, other.deadline.patience)
            elif other is not None:
                seconds = min(seconds, _LOOK_SECONDS)
                if other.still_seconds() > _STILL_SECONDS:
                    self._leave_behind(other)
                    continue
            if not turn.deadline.remaining:
                what = "this process to fork" if other is None else other.what
                raise turn.deadline.passed(turn.model, f"waiting for {what}")
            self._changed.wait(seconds)

    def _leave_behind(self, other: _Turn) -> None:
        self._left_behind = [*self._left_behind, other]
        self._clean = self._clean or other.defaults
        self._holder = None

    def _wait_before_fork(self) -> None:
        """Wait for the turn of another thread, while it moves and has time left."""
        own, end = threading.get_ident(), time.monotonic() + _FORK_SECONDS
        with self._changed:
            self._forks += 1  # nobody begins meanwhile
            while (other := self._holder) is not None and other.thread != own and other.deadline.remaining:
                if other.still_seconds() > _FORK_STILL_SECONDS or time.monotonic() > end:
                    break
                self._changed.wait(_LOOK_SECONDS)

    def _go_on_after_fork(self) -> None:
        with self._changed:
            self._forks = max(0, self._forks - 1)
            self._changed.notify_all()

    def _begin_anew(self) -> None:
        """In a forked child: forget the turns of other threads, and undo what they changed."""
        holder, self._changed = self._holder, threading.Condition()
        is_own = holder is not None and holder.thread == threading.get_ident()
        clean = self._clean or (None if holder is None or is_own else holder.defaults)
        if clean is not None:
            clean.put_back()
        self._holder = holder if is_own else None
        self._left_behind, self._clean, self._forks = [], None, 0
