"""The active faults: their rules in order, their counts, and the choice of faults for each request."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from modelenv.forks import new_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from modelenv.hub.faults.rules import Asked, Rule


class FaultScript:
    """The active rules. They can be added and removed at any time, from any thread, while requests are answered.

    Args:
        clock: Returns the current time in seconds, for rules with `seconds`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = new_lock()
        self._handles: list[FaultHandle] = []

    def add(self, rule: Rule) -> FaultHandle:
        """Append a rule. It applies to requests that arrive from now on."""
        handle = FaultHandle(rule, self)
        with self._lock:
            self._handles = [*self._handles, handle]
        return handle

    def remove(self, handle: FaultHandle) -> None:
        """Remove a rule. Does nothing if it was already removed."""
        with self._lock:
            self._handles = [kept for kept in self._handles if kept is not handle]

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._handles = []

    def holds(self, handle: FaultHandle) -> bool:
        """Whether a rule is still active."""
        return any(kept is handle for kept in self._handles)  # the list is replaced, never changed

    def choose(self, asked: Asked) -> tuple[FaultHandle, ...]:
        """Return the faults that apply to this request, in order, up to the first one that answers it."""
        chosen: list[FaultHandle] = []
        with self._lock:
            for handle in self._handles:
                if handle.count(asked):
                    chosen.append(handle)
                    if handle.rule.answers:
                        break
        return tuple(chosen)


class FaultHandle:
    """A fault that was added: counts how often it was applied, and cancels it. Can be used as a context manager."""

    def __init__(self, rule: Rule, script: FaultScript) -> None:
        self.rule = rule
        self._script = script
        self._matched = 0
        self._fired = 0
        self._first: float | None = None
        self._asked: Counter[tuple[str, str]] = Counter()

    @property
    def fired(self) -> int:
        """The number of requests that the fault was applied to."""
        return self._fired

    @property
    def is_set(self) -> bool:
        """Whether the fault is active."""
        return self._script.holds(self)

    def cancel(self) -> None:
        """Cancel this fault. It applies to no more requests, and slowed-down bodies continue at full speed."""
        self._script.remove(self)

    def count(self, asked: Asked) -> bool:
        """Count a request, and return whether the fault applies to it. Called by the script under its lock."""
        rule = self.rule
        if not rule.matches(asked):
            return False
        self._matched += 1
        self._asked[asked.method, asked.path] += 1
        now = self._script.clock()
        hit = (
            (rule.nth is None or self._matched == rule.nth)
            and (rule.times is None or self._fired < rule.times)
            and (rule.seconds is None or self._first is None or now < self._first + rule.seconds)
            and (rule.share is None or self._drawn(asked) < rule.share)
        )
        if hit:
            self._fired += 1
            self._first = now if self._first is None else self._first
        return hit

    def _drawn(self, asked: Asked) -> float:
        """Return a number from 0 to 1 that depends on the seed, the request, and how often it was made before."""
        before = self._asked[asked.method, asked.path]
        text = f"{self.rule.seed}\n{asked.method}\n{asked.path}\n{before}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<fault {self.rule}: applied {self._fired} times>"
