"""Temporary failures, after which a request is retried, and how long the server asks to wait."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Mapping

from modelenv.errors import redact

# The statuses of temporary failures: a timeout, a rate limit, and problems of a server or a proxy.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
# `"api";r=0;t=55`: 0 requests remain, for 55 seconds (draft-ietf-httpapi-ratelimit-headers-09, as the Hub sends it).
_RATE_LIMIT = re.compile(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")


class TryAgainError(Exception):
    """A request failed temporarily.

    Args:
        cause: What happened, in one line.
        request: The method and path of the failed request, if there was one.
        status: The status of the response, if there was one.
        wait: The seconds that the server asked to wait, if it did.
        once: Whether to retry only once.
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
    """Return the seconds that a response asks to wait: from its rate limit if that is used up, else Retry-After."""
    limit = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if limit is not None:
        return float(limit[1])
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    moment = email.utils.parsedate_tz(text)
    return None if moment is None else max(0.0, email.utils.mktime_tz(moment) - now())
