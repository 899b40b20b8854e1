"""Deadlines that all steps of a load share, and the time that each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelenv import forks
from modelenv.errors import ModelLoadTimeoutError

IMPORT_SECONDS = 300.0
"""How long an import of torch and transformers can take before it counts for the deadlines of loads."""

FETCHING = "fetching its files"
BUILDING = "building the pipeline"
IMPORTING = "importing torch and transformers"
_BEGINNING = "starting"
_SHOWN = 0.05  # seconds: shorter stages are not shown
_SHORTEST_WAIT = 0.01  # seconds: how often to check a deadline whose clock is stopped


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
        """Start a stage."""
        moment = self._clock()
        self._spent[self._now] = self._spent.get(self._now, 0.0) + moment - self._since
        self._now, self._since = stage, moment

    @contextmanager
    def doing(self, stage: str) -> Iterator[None]:
        """Context manager: start a stage, and return to the current one at the end of the block."""
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
    """How long this process has imported torch and transformers, or waited for its model host to import them."""

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

    The time of an import says nothing about a model: if several processes start at once on a small machine, they
    import for a minute. After `IMPORT_SECONDS` the clocks continue, so that an import that never ends does not block
    a load forever.
    """
    _imports.begin()
    try:
        yield
    finally:
        _imports.end()


@dataclass(frozen=True)
class Deadline:
    """A deadline `seconds` after its creation, on the monotonic clock. Time in `imports_not_counted` does not count.

    Attributes:
        seconds: The length of the time limit.
        stages: The stages of the load.
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
        """The seconds that are left, at least 0."""
        return max(0.0, self._ends + self._not_counted - time.monotonic())

    @property
    def patience(self) -> float:
        """The seconds to wait before checking `remaining` again. Never 0, because a stopped clock can resume."""
        return max(self.remaining, _SHORTEST_WAIT)

    @property
    def _not_counted(self) -> float:
        return max(0.0, _imports.seconds() - self._imported_before)

    def until(self, wait: Callable[[float], object]) -> bool:
        """Call `wait` with the seconds that are left, until its result is true. Return False if the deadline passes.

        `wait` is called again if the deadline has moved in the meantime, because of time that does not count.
        """
        while not wait(self.patience):
            if not self.remaining:
                return False
        return True

    def passed(self, model: str, doing: str, stages: Stages | None = None) -> ModelLoadTimeoutError:
        """Return the error for a deadline that has passed.

        Args:
            model: The model's name.
            doing: The activity that was running, such as "waiting for another process".
            stages: The stages that took the time, if they belong to another load than this deadline.
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
