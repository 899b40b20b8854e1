"""One model is built at a time in a process, and one that hangs does not stop the others.

transformers changes defaults of the whole process while it builds a model: the dtype of new tensors, how weights are
initialised, whether they are tied. Two builds at once would disturb each other, and so would a fork in the middle of
one. So they take turns, and forks wait for them.

A build whose load ran out of time is broken off once another model waits for its turn. One that cannot be broken off,
because it hangs in code that is not Python, is left behind: its result is discarded if it ever comes, the defaults
are put back to what they were before it, and others are built beside it. They count only if it has not moved
meanwhile, else they are built again.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from modelenv import forks
from modelenv.breaking import AbandonedError, BreakableCall
from modelenv.deadlines import Deadline
from modelenv.loading.process_defaults import Defaults

T = TypeVar("T")
_GRACE_SECONDS = 1.0  # for a build that was broken off: it ends at its next line of Python
_FORK_SECONDS = 60.0  # how long a fork waits for a build
_STANDSTILL_SECONDS = 20.0  # how long a fork waits for what does not move
_LOOK_SECONDS = 0.5
_WAITING = "waiting for another model to be built"
_BROKEN_OFF = "building the pipeline, which was broken off because another model waited for its turn"
_IMPORTING = "<frozen importlib"  # the file of frames of the import system


@dataclass(eq=False)
class _Turn:
    """One build or import.

    Attributes:
        what: what others wait for.
        deadline: of its load.
        call: by which it can be broken off; None for an import, which nobody can take up again.
        thread: on which it runs.
        defaults: of the process before it began.
        broken_off: when it was broken off.
        has_ended: whether it is over.
    """

    what: str
    deadline: Deadline
    call: BreakableCall | None = None
    thread: int = field(default_factory=threading.get_ident)
    defaults: Defaults | None = None
    broken_off: float | None = None
    has_ended: bool = False

    def break_off(self) -> None:
        """Break it off, unless it is importing: half an import can do more harm than a build that goes on."""
        if self.call is not None:
            self.call.break_off(lambda: not any(file.startswith(_IMPORTING) for file, _, _ in self._frames()))

    def place(self) -> object:
        """Return something that differs once it has moved."""
        return None if self.has_ended else [(code, line) for _, code, line in self._frames()]

    def _frames(self) -> Iterator[tuple[str, int, int]]:
        frame = sys._current_frames().get(self.thread)  # noqa: SLF001 - documented in the sys module
        while frame is not None:
            yield frame.f_code.co_filename, id(frame.f_code), frame.f_lasti
            frame = frame.f_back


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
        self._forks = 0
        self.has_built = False
        forks.at_fork(
            self, BuildLock._begin_anew, before=BuildLock._wait_before_fork, in_parent=BuildLock._go_on_after_fork
        )

    @contextmanager
    def importing(self, seconds: float) -> Iterator[None]:
        """Take a turn for an import, which ends after so many seconds for those who wait.

        Raises:
            ModelLoadTimeoutError: another import did not end.
        """
        deadline = Deadline(seconds)
        with self._turn(_Turn("torch and transformers to be imported", deadline), "torch and transformers"):
            yield

    def build(self, model: str, deadline: Deadline, work: Callable[[], T]) -> T:
        """Return what `work` returns, in a turn of its own; it may be called more than once.

        Raises:
            ModelLoadTimeoutError: the deadline passed before its turn came, or it was broken off.
        """
        turn = _Turn(f"{model} to be built", deadline, BreakableCall())
        with self._turn(turn, model):
            self.has_built = True
            while True:
                places = self._begin(turn)
                try:
                    result = turn.call.run(work) if turn.call is not None else work()
                except AbandonedError:
                    raise deadline.passed(model, _BROKEN_OFF) from None
                except Exception:
                    if self._stood_still(places):
                        raise
                else:
                    if self._holder is not turn:
                        raise deadline.passed(model, _BROKEN_OFF)
                    if self._stood_still(places):
                        return result
                if not deadline.remaining:
                    doing = "building it again, because builds that had hung went on meanwhile and disturbed it"
                    raise deadline.passed(model, doing)

    def _begin(self, turn: _Turn) -> Mapping[_Turn, object]:
        """Prepare the process for a build; return where the builds stand that were left behind."""
        others = tuple(self._left_behind)
        for other in others:
            other.break_off()
        _put_back(others)
        turn.call, turn.defaults = BreakableCall(), self._defaults()
        return {other: other.place() for other in others}

    def _stood_still(self, places: Mapping[_Turn, object]) -> bool:
        return all(turn.place() == place for turn, place in places.items())

    @contextmanager
    def _turn(self, turn: _Turn, model: str) -> Iterator[None]:
        forks.go_first()
        with self._changed:
            with turn.deadline.stages.doing(_WAITING):
                self._wait_for_turn(turn, model)
            self._holder = turn
        try:
            yield
        finally:
            with self._changed:
                turn.has_ended = True
                self._holder = None if self._holder is turn else self._holder
                self._left_behind = [left for left in self._left_behind if left is not turn]
                self._changed.notify_all()

    def _wait_for_turn(self, turn: _Turn, model: str) -> None:
        while (other := self._holder) is not None or self._forks:
            what = "this process to fork" if other is None else other.what
            if not turn.deadline.remaining:
                raise turn.deadline.passed(model, f"waiting for {what}")
            seconds = turn.deadline.patience
            if other is not None:
                seconds = min(seconds, self._seconds_of(other))
            if seconds:
                self._changed.wait(seconds)
            else:
                self._left_behind = [*self._left_behind, *([] if other is None else [other])]
                self._holder = None

    def _seconds_of(self, other: _Turn) -> float:
        """Return how long to wait for another's turn: until its deadline, and a moment once it is broken off."""
        if other.deadline.remaining:
            return other.deadline.patience
        if other.broken_off is None:
            other.broken_off = time.monotonic()
            other.break_off()
        return max(0.0, other.broken_off + _GRACE_SECONDS - time.monotonic())

    def _wait_before_fork(self) -> None:
        """Wait for another thread's turn while it moves: it may need a lock that the forking thread holds."""
        own, began = threading.get_ident(), time.monotonic()
        place, moved = object(), began
        with self._changed:
            self._forks += 1  # nobody begins meanwhile
            while (other := self._holder) is not None and other.thread != own and other.deadline.remaining:
                before, place, now = place, other.place(), time.monotonic()
                moved = moved if place == before else now
                is_late = other.call is not None and now - began > _FORK_SECONDS
                if is_late or now - moved > _STANDSTILL_SECONDS:
                    break
                self._changed.wait(_LOOK_SECONDS)

    def _go_on_after_fork(self) -> None:
        with self._changed:
            self._forks = max(0, self._forks - 1)
            self._changed.notify_all()

    def _begin_anew(self) -> None:
        """In a forked child: forget the other threads' turns, and what they changed."""
        own = threading.get_ident()
        turns = (*self._left_behind, *([] if self._holder is None else [self._holder]))
        _put_back(tuple(turn for turn in turns if turn.thread != own))
        self._holder = next((turn for turn in turns if turn.thread == own), None)
        self._left_behind, self._forks = [], 0
        self._changed = threading.Condition()


def _put_back(turns: tuple[_Turn, ...]) -> None:
    """Put back what the first of these turns found: those after it began with the same."""
    before = next((turn.defaults for turn in turns if turn.defaults is not None), None)
    if before is not None:
        before.put_back()
