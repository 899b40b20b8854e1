"""Retries requests to the Hub, but never beyond the deadline."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelenv.errors import ModelDownloadError
from modelenv.fetching.monitor import Monitor
from modelenv.fetching.trouble import TryAgainError

logger = logging.getLogger("modelenv")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """The number of retries without progress, and the waits before them if the server does not set a time.

    Attributes:
        retries: The number of retries once the Hub has responded to any request.
        retries_unanswered: The number of retries while the Hub has never responded: it is probably unreachable.
        first: The seconds before the first retry. Each further wait is twice as long.
        longest: The longest wait in seconds.
        draw: Returns a random number from 0 to 1 for the jitter. Half of each wait is random, to spread the workers.
    """

    retries: int = 5
    retries_unanswered: int = 2
    first: float = 0.25
    longest: float = 8.0
    draw: Callable[[], float] = random.random

    def wait(self, failures: int, named: float | None) -> float:
        """Return the seconds to wait after this many failures in a row. A wait that the server names is respected."""
        if named is not None:
            return named + self.first * self.draw()
        longest: float = min(self.longest, self.first * 2.0 ** (failures - 1))
        return longest * (1 + self.draw()) / 2


def with_retries(action: Callable[[], Result], monitor: Monitor, policy: RetryPolicy) -> Result:
    """Return the result of `action`, and retry it when it raises `TryAgainError`.

    Failures are counted per request, since occasional failures of many requests are no reason to give up. Received
    bytes are progress, which resets all counts.

    Raises:
        TryAgainError: The retries are used up; this is the last error.
        ModelLoadTimeoutError: The deadline passed.
        ModelDownloadError: The server asks to wait longer than the time that is left.
    """
    failures: Counter[str] = Counter()
    received, tried_once = monitor.bytes_received, False
    while True:
        try:
            return action()
        except TryAgainError as error:
            monitor.raise_if_late(error.cause)
            if monitor.bytes_received > received:
                received = monitor.bytes_received
                failures.clear()
            failures[error.request] += 1
            error.failures = 2 if error.once and tried_once else failures[error.request]
            allowed = policy.retries if monitor.answered else policy.retries_unanswered
            if error.failures > (1 if error.once else allowed):
                raise
            tried_once = tried_once or error.once
            wait = policy.wait(error.failures, error.wait)
            if error.wait is not None and wait >= monitor.deadline.remaining:
                raise _too_long(error, monitor) from None
            logger.info("%s: %s; trying again in %.1f s", monitor.model, error.cause, wait)
            monitor.pause(wait)
            monitor.raise_if_late(error.cause)


def _too_long(error: TryAgainError, monitor: Monitor) -> ModelDownloadError:
    return ModelDownloadError(
        f"the Hub asks to wait {error.wait:.0f} s, but only {monitor.deadline.remaining:.0f} s are left",
        model=monitor.model,
        found=error.cause,
        hint="try again after that time, or give the load more time with MODEL_TIMEOUT=<seconds>; "
        "with a token (HF_TOKEN) the limit is higher",
    )
