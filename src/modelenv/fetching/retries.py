"""Trying a request to the Hub again: when, how often, and never beyond the deadline."""

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
    """How often something is tried again without progress, and how long is waited where the server names no time.

    Attributes:
        retries: how often, once the Hub has answered anything.
        retries_unanswered: how often while it has never answered: probably nobody is there.
        first: seconds before the first retry; each further wait is twice as long.
        longest: the longest of these waits.
        draw: returns a number from 0 to 1, for the jitter: half of each wait is drawn, so that workers spread.
    """

    retries: int = 5
    retries_unanswered: int = 2
    first: float = 0.25
    longest: float = 8.0
    draw: Callable[[], float] = random.random

    def wait(self, failures: int, named: float | None) -> float:
        """Return the seconds to wait after so many failures in a row; a time that the server names is kept."""
        if named is not None:
            return named + self.first * self.draw()
        longest: float = min(self.longest, self.first * 2.0 ** (failures - 1))
        return longest * (1 + self.draw()) / 2


def with_retries(action: Callable[[], Result], monitor: Monitor, policy: RetryPolicy) -> Result:
    """Return what `action` returns, trying it again when it raises `TryAgainError`.

    Failures are counted for each request: many requests that fail now and then are no reason to give up. Bytes that
    were received meanwhile are progress, after which all counts begin anew.

    Raises:
        TryAgainError: the last one, if it does not pass.
        ModelLoadTimeoutError: the deadline passed.
        ModelDownloadError: the server asks to wait longer than is left.
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
        f"the Hub asks to wait {error.wait:.0f} s, and only {monitor.deadline.remaining:.0f} s are left",
        model=monitor.model,
        found=error.cause,
        hint="try again after that time, or give the load more time with MODEL_TIMEOUT=<seconds>; "
        "requests with a token (HF_TOKEN) have a higher limit",
    )
