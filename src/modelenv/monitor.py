"""Watching one download inside `huggingface_hub`: counting its requests and bytes, and ending it at a deadline.

`huggingface_hub` downloads on threads of its own, which inherit no context variable. So each request of a download
carries a tag in its headers; a hook on the client takes the tag off before the request is sent, and from then on
counts what belongs to it. A download over the native Xet client makes no such requests: there only the caller's own
deadline applies.
"""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from modelenv.deadlines import Deadline

if TYPE_CHECKING:
    import httpx2

_TAG = "x-modelenv-download"
_EXTENSION = "modelenv.monitor"
_monitors: WeakValueDictionary[str, Monitor] = WeakValueDictionary()


@dataclass(eq=False)
class Monitor:
    """The requests and bytes of one download, and its deadline."""

    deadline: Deadline
    model: str
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)
    requests: int = 0
    bytes_received: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers to give to `huggingface_hub`, by which its requests are recognised."""
        return {_TAG: self.tag}

    def raise_if_late(self) -> None:
        """Raise `ModelLoadTimeoutError` if the deadline has passed."""
        if self.deadline.remaining <= 0:
            raise self.deadline.passed(self.model, f"fetching it ({self.bytes_received:,} bytes received)")

    def count(self, *, requests: int = 0, received: int = 0) -> None:
        """Add to the counts; called from the client's threads."""
        with self._lock:
            self.requests += requests
            self.bytes_received += received


@contextmanager
def monitored(deadline: Deadline, model: str) -> Iterator[Monitor]:
    """Watch the requests that carry the monitor's headers, for the duration of the block."""
    from huggingface_hub.utils import get_session

    monitor = Monitor(deadline, model)
    _monitors[monitor.tag] = monitor
    hooks = get_session().event_hooks
    if _on_request not in hooks["request"]:
        hooks = {"request": [_on_request, *hooks["request"]], "response": [*hooks["response"], _on_response]}
        get_session().event_hooks = hooks
    try:
        yield monitor
    finally:
        del _monitors[monitor.tag]


def _on_request(request: httpx2.Request) -> None:
    tag = request.headers.pop(_TAG, None)
    monitor: Monitor | None = _monitors.get(tag) if tag else request.extensions.get(_EXTENSION)
    if monitor is None:
        return
    request.extensions = {**request.extensions, _EXTENSION: monitor, "timeout": _clamped(request, monitor)}
    monitor.raise_if_late()
    monitor.count(requests=1)


def _clamped(request: httpx2.Request, monitor: Monitor) -> dict[str, float]:
    """No single wait may outlast the deadline."""
    limits: dict[str, float | None] = request.extensions.get("timeout") or {}
    names = ("connect", "read", "write", "pool")
    remaining = max(monitor.deadline.remaining, 0.001)
    waits = (limits.get(name) for name in names)
    return {
        name: remaining if wait is None else min(wait, remaining) for name, wait in zip(names, waits, strict=True)
    }


def _on_response(response: httpx2.Response) -> None:
    monitor = response.request.extensions.get(_EXTENSION)
    if monitor is not None:
        response.stream = _watched(response, monitor)


def _watched(response: httpx2.Response, monitor: Monitor) -> Any:
    stream = response.stream
    # huggingface_hub 1 talks through httpx, huggingface_hub 2 through httpx2: the same classes.
    library = sys.modules[type(response).__module__.partition(".")[0]]

    class WatchedStream(library.SyncByteStream):  # type: ignore[name-defined, misc]
        """The body as it comes from the network, piece by piece."""

        def __iter__(self) -> Iterator[bytes]:
            for piece in stream:
                monitor.count(received=len(piece))
                monitor.raise_if_late()
                yield piece

        def close(self) -> None:
            stream.close()

    return WatchedStream()
