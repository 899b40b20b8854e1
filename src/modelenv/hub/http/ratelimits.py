"""The Hub's headers for rate limits. The embedded Hub counts requests, but refuses none."""

from __future__ import annotations

import time
from collections import Counter

from modelenv.forks import new_lock

# https://huggingface.co/docs/hub/rate-limits: requests per five minutes without a token.
_WINDOW_SECONDS = 300
_QUOTAS = {"api": 500, "resolvers": 3000, "pages": 100}


class RateLimits:
    """Counts the requests in each window."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._start = time.monotonic()
        self._counts: Counter[str] = Counter()

    def headers(self, kind: str) -> dict[str, str]:
        """Count one more request of this kind (resolve, other, or any other name), and return the headers."""
        resource = {"resolve": "resolvers", "other": "pages"}.get(kind, "api")
        with self._lock:
            passed = time.monotonic() - self._start
            if passed >= _WINDOW_SECONDS:
                self._start, passed = time.monotonic(), 0.0
                self._counts.clear()
            self._counts[resource] += 1
            left = max(0, _QUOTAS[resource] - self._counts[resource])
        return {
            "RateLimit": f'"{resource}";r={left};t={int(_WINDOW_SECONDS - passed)}',
            "RateLimit-Policy": f'"fixed window";"{resource}";q={_QUOTAS[resource]};w={_WINDOW_SECONDS}',
        }
