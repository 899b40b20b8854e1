"""A moment by which something must be done, shared by every step of it; and what took the time until then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelenv import forks
from modelenv.errors import ModelLoadTimeoutError

IMPORT_SECONDS = 300.0
"""How long an import of torch and transformers may take before it counts for the deadlines of loads."""

FETCHING = "fetching its files"
BUILDING = "building the pipeline"
IMPORTING = "importing torch and transformers"
_BEGINNING = "starting"
_SHOWN = 0.05  # seconds: what took less is not named
_SHORTEST_WAIT = 0.01  # seconds: a deadline that stands still is looked at so often


class Stages:
    """What one load is doing, and how long each thing took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, float] = {}
        self._now, self._since = _BEGINNING, clock()

    @property
    def now(self) -> str:
        """What is being done."""
        return self._now

    def enter(self, stage: str) -> None:
        """Begin to do something else."""
        moment = self._clock()
        self._spent[self._now] = self._spent.get(self._now, 0.0) + moment - self._since
        self._now, self._since = stage, moment

    @contextmanager
    def doing(self, stage: str) -> Iterator[None]:
        """Do something else for a block."""
        before = self._now
        self.enter(stage)
        try:
            yield
        finally:
            self.enter(before)

    def __str__(self) -> str:
        """Return the seconds of each stage so far, without those that took next to nothing."""
        spent = dict(self._spent)
        spent[self._now] = spent.get(self._now, 0.0) + self._clock() - self._since
        shown = ((stage, seconds) for stage, seconds in spent.items() if stage != _BEGINNING and seconds >= _SHOWN)
        return ", ".join(f"{seconds:.1f} s {stage}" for stage, seconds in shown)


class _ImportTime:
    """How long this process has imported torch and transformers, or waited until its model host had."""

    def __init__(self) -> None:
        self._lock = forks.new_lock()
        self._total, self._since, self._depth = 0.0, 0.0, 0
        forks.at_fork(self, _ImportTime._forget_others)

    def _forget_others(self) -> None:
        self._depth = 0

    def seconds(self) -> float:
        with self._lock:
            return self._total + self._under_way()

    def begin(self) -> None:
        with self._lock:
            if not self._depth:
                self._since = time.monotonic()
            self._depth += 1

    def end(self) -> None:
        with self._lock:
            if self._depth == 1:
                self._total += self._under_way()
            self._depth = max(0, self._depth - 1)

    def _under_way(self) -> float:
        return min(time.monotonic() - self._since, IMPORT_SECONDS) if self._depth else 0.0


_imports = _ImportTime()


@contextmanager
def imports_not_counted() -> Iterator[None]:
    """Stop the clocks of all deadlines of this process for a block in which torch and transformers are imported.

    How long that takes says nothing about a model: several processes that start at once on a small machine import for
    a minute. After `IMPORT_SECONDS` the clocks go on, so that an import that never ends holds nobody up for ever.
    """
    _imports.begin()
    try:
        yield
    finally:
        _imports.end()


@dataclass(frozen=True)
class Deadline:
    """`seconds` from the moment it is made, on the monotonic clock, without the time of `imports_not_counted`.

    Attributes:
        seconds: how long.
        stages: what is done until then.
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
        """Seconds that are left, never less than 0."""
        return max(0.0, self._ends + self._not_counted - time.monotonic())

    @property
    def patience(self) -> float:
        """Seconds to wait before the next look at `remaining`, which a stopped clock leaves as it is."""
        return max(self.remaining, _SHORTEST_WAIT)

    @property
    def _not_counted(self) -> float:
        return max(0.0, _imports.seconds() - self._imported_before)

    def until(self, wait: Callable[[float], object]) -> bool:
        """Call `wait` with the seconds that are left until it returns something true; False once the deadline passed.

        More than once, because time that does not count may move the deadline meanwhile.
        """
        while not wait(self.patience):
            if not self.remaining:
                return False
        return True

    def passed(self, model: str, doing: str, stages: Stages | None = None) -> ModelLoadTimeoutError:
        """Return the error that says that the deadline passed while `doing` something for `model`.

        Args:
            model: the model's name.
            doing: what was being done.
            stages: what took the time, if that was another's work than of whoever made this deadline.
        """
        spent, not_counted = str(stages or self.stages), self._not_counted
        found = f"still {doing}" + (f"; so far {spent}" if spent else "")
        if not_counted >= _SHOWN:
            found += f" (the {not_counted:.1f} s in which torch and transformers were imported do not count)"
        return ModelLoadTimeoutError(
            f"not loaded within {self.seconds:g} s",
            model=model,
            found=found,
            hint="give it more time with MODEL_TIMEOUT=<seconds> or load_model(..., timeout=<seconds>)",
        )
