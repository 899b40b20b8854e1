"""What may pass: failures after which a request is tried again, and how long the server asks to wait."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Mapping

from modelenv.errors import redact

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
