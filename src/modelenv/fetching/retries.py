"""Trying a request to the Hub again: when, how often, and never beyond the deadline."""

from __future__ import annotations

import email.utils
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from modelenv.errors import ModelDownloadError, redact

if TYPE_CHECKING:
    from modelenv.fetching.monitor import Monitor

logger = logging.getLogger("modelenv")
Result = TypeVar("Result")

# Statuses that pass: a timeout, a rate limit, and what a server or a proxy in trouble answers.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
# `"api";r=0;t=55`: 0 requests remain, for 55 seconds (draft-ietf-httpapi-ratelimit-headers-09, as the Hub sends it).
_RATE_LIMIT = re.compile(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")


class TryAgainError(Exception):
    """A request failed in a way that may pass.

    Args:
        cause: what happened, as one line.
        request: the method and path of the request that failed, if it was one.
        status: the status that was answered, if any.
        wait: the seconds that the server asked to wait, if it did.
        once: whether one more try is enough to know that it does not pass.
    """

    def __init__(
        self,
        cause: str,
        *,
        request: str = "",
        status: int | None = None,
        wait: float | None = None,
        once: bool = False,
    ) -> None:
        super().__init__(cause)
        self.cause = redact(cause if not request else f"{cause} for {request}")
        self.request = request
        self.status = status
        self.wait = wait
        self.once = once
        self.failures = 0


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


def named_wait(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that an answer asks to wait: of its rate limit, if it is used up, else of Retry-After."""
    limit = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if limit is not None:
        return float(limit[1])
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    moment = email.utils.parsedate_tz(text)
    return None if moment is None else max(0.0, email.utils.mktime_tz(moment) - now())


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
            logger.info("%s: %s; next try in %.1f s", monitor.model, error.cause, wait)
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
