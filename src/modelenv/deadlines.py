"""A deadline that is shared by all steps of a task, and a record of how long each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelenv import forks
from modelenv.errors import ModelLoadTimeoutError

IMPORT_SECONDS = 300.0
"""How long an import of torch and transformers can take before it counts towards the deadlines of loads."""

FETCHING = "fetching its files"
BUILDING = "building the pipeline"
IMPORTING = "importing torch and transformers"
_BEGINNING = "starting"
_SHOWN = 0.05  # seconds; shorter stages are not shown
_SHORTEST_WAIT = 0.01  # seconds; while the clock is stopped, the deadline is checked this often


class Stages:
    """The current stage of a load, and how long each stage took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, float] = {}
        self._now, self._since = _BEGINNING, clock()

    @property
    def now(self) -> str:
        """The current stage."""
        return self._now

    def enter(self, stage: str) -> None:
        """Start another stage."""
        moment = self._clock()
        self._spent[self._now] = self._spent.get(self._now, 0.0) + moment - self._since
        self._now, self._since = stage, moment

    @contextmanager
    def doing(self, stage: str) -> Iterator[None]:
        """Context manager: be in another stage for a block."""
        before = self._now
        self.enter(stage)
        try:
            yield
        finally:
            self.enter(before)

    def __str__(self) -> str:
        """Return the seconds of each stage so far, without very short ones."""
        spent = dict(self._spent)
        spent[self._now] = spent.get(self._now, 0.0) + self._clock() - self._since
        shown = ((stage, seconds) for stage, seconds in spent.items() if stage != _BEGINNING and seconds >= _SHOWN)
        return ", ".join(f"{seconds:.1f} s {stage}" for stage, seconds in shown)


class _ImportTime:
    """How long this process has imported torch and transformers, or has waited until its model host had done so."""

    def __init__(self) -> None:
        self._lock = forks.new_lock()
        self._total, self._since, self._depth = 0.0, 0.0, 0
        forks.at_fork(self, _ImportTime._reset_in_child)

    def _reset_in_child(self) -> None:
        self._depth = 0

    def seconds(self) -> float:
        with self._lock:
            return self._total + self._current()

    def begin(self) -> None:
        with self._lock:
            if not self._depth:
                self._since = time.monotonic()
            self._depth += 1

    def end(self) -> None:
        with self._lock:
            if self._depth == 1:
                self._total += self._current()
            self._depth = max(0, self._depth - 1)

    def _current(self) -> float:
        return min(time.monotonic() - self._since, IMPORT_SECONDS) if self._depth else 0.0


_imports = _ImportTime()


@contextmanager
def imports_not_counted() -> Iterator[None]:
    """Context manager: stop the clocks of all deadlines of this process while torch and transformers are imported.

    The duration does not depend on the model: several processes that start at once on a small machine import for a
    minute. After `IMPORT_SECONDS` the clocks continue, so that no load waits forever for an import that never ends.
    """
    _imports.begin()
    try:
        yield
    finally:
        _imports.end()


@dataclass(frozen=True)
class Deadline:
    """A point in time `seconds` after its creation, on the monotonic clock. `imports_not_counted` moves it.

    Attributes:
        seconds: The time limit in seconds.
        stages: The stages of the task, with their durations.
    """

    seconds: float
    stages: Stages = field(default_factory=Stages, compare=False)
    _ends: float = field(init=False)
    _imported_before: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_imported_before", _imports.seconds())
        object.__setattr__(self, "_ends", time.monotonic() + self.seconds)

    @property
    def remaining(self) -> float:
        """The remaining seconds, at least 0."""
        return max(0.0, self._ends + self._not_counted - time.monotonic())

    @property
    def patience(self) -> float:
        """The seconds to wait before checking `remaining` again. They are not 0, as the clock can be stopped."""
        return max(self.remaining, _SHORTEST_WAIT)

    @property
    def _not_counted(self) -> float:
        return max(0.0, _imports.seconds() - self._imported_before)

    def until(self, wait: Callable[[float], object]) -> bool:
        """Call `wait` with the remaining seconds until its result is true. Returns False if the deadline passes.

        It is called more than once if time that does not count has moved the deadline meanwhile.
        """
        while not wait(self.patience):
            if not self.remaining:
                return False
        return True

    def passed(self, model: str, doing: str, stages: Stages | None = None) -> ModelLoadTimeoutError:
        """Return the error for a deadline that has passed.

        Args:
            model: The model's name.
            doing: The current activity, such as "waiting for its lock".
            stages: The stages to show, if the time was spent in another task than that of this deadline.
        """
        spent, not_counted = str(stages or self.stages), self._not_counted
        found = f"still {doing}" + (f"; so far {spent}" if spent else "")
        if not_counted >= _SHOWN:
            found += f" (not counting {not_counted:.1f} s for the import of torch and transformers)"
        return ModelLoadTimeoutError(
            f"not loaded within {self.seconds:g} s",
            model=model,
            found=found,
            hint="give it more time with MODEL_TIMEOUT=<seconds> or load_model(..., timeout=<seconds>)",
        )
