"""Watching one download inside `huggingface_hub`: counting its requests and bytes, and keeping to its deadline.

`huggingface_hub` downloads on threads of its own, which inherit no context variable. So each request of a download
carries a tag in its headers; a hook on the client takes the tag off before the request is sent, and from then on
counts what belongs to it. A download over the native Xet client makes no such requests: there only the caller's own
deadline applies.

`huggingface_hub` 2.4 also has retries of its own, which know no deadline. So what may pass leaves it at once, as a
`TryAgainError`, and the caller decides. One thing is left to it: when the body of a file breaks off, it asks for the
rest after one second (`http_get` in file_download.py), and only it can, because the part that came is in its hands.
"""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from modelenv.deadlines import Deadline
from modelenv.environment.hub_client import check_requests, hub_session
from modelenv.fetching.answers import check_response
from modelenv.fetching.trouble import PASSING, TryAgainError, named_wait
from modelenv.files.hashing import Progress

if TYPE_CHECKING:
    import httpx2

_TAG = "x-modelenv-download"
_EXTENSION = "modelenv.fetching.monitor"
_RESUME_PAUSE = 1.0  # seconds that `http_get` sleeps before it asks for the rest of a body
# Events of the HTTP library at which a request has failed before its answer began, whatever comes before the dot
# (https://www.python-httpx.org/advanced/extensions/#trace). An error while sending is none: an answer may still come.
_FAILED = ("connect_tcp.failed", "start_tls.failed", "receive_response_headers.failed")
_monitors: WeakValueDictionary[str, Monitor] = WeakValueDictionary()


class StoppedError(Exception):
    """The download was stopped, for another part of it failed or the program is to end."""


@dataclass(eq=False)
class Monitor:
    """The requests and bytes of one download, and its deadline.

    Attributes:
        deadline: of the whole download.
        model: its name, for errors.
        progress: called with the bytes that came, from any thread.
        commit: the commit that is fetched, once it is known; no answer may name another.
        tag: by which its requests are recognised.
        requests: made so far.
        bytes_received: so far.
        answered: whether the Hub has answered anything.
    """

    deadline: Deadline
    model: str
    progress: Progress | None = None
    commit: str | None = None
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)
    requests: int = 0
    bytes_received: int = 0
    answered: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers to give to `huggingface_hub`, by which its requests are recognised."""
        return {_TAG: self.tag}

    def raise_if_late(self, trouble: str | None = None, *, spare: float = 0.0) -> None:
        """Raise `ModelLoadTimeoutError` if the deadline has passed, or passes within `spare` seconds.

        Args:
            trouble: what went wrong at last, for the error.
            spare: seconds that would be needed before anything else can happen.
        """
        if self.deadline.remaining <= spare:
            behind = "" if trouble is None else f"; the last trouble: {trouble}"
            raise self.deadline.passed(self.model, f"fetching it ({self.bytes_received:,} bytes received{behind})")

    def count(self, *, requests: int = 0, received: int = 0) -> None:
        """Add to the counts; called from the client's threads."""
        with self._lock:
            self.requests += requests
            self.bytes_received += received
        if self.progress is not None and received:
            self.progress(received)

    def stop(self) -> None:
        """Let every request that is under way end with its next bytes, and every wait at once."""
        self._stopped.set()

    def go_on(self) -> None:
        """Check that more may be asked for and received.

        Raises:
            StoppedError: `stop` was called.
            ModelLoadTimeoutError: the deadline has passed.
        """
        if self._stopped.is_set():
            raise StoppedError
        self.raise_if_late()

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the deadline.

        Raises:
            StoppedError: `stop` was called.
        """
        if self._stopped.wait(min(seconds, self.deadline.remaining)):
            raise StoppedError

    def watch(self) -> None:
        """Watch the client that `huggingface_hub` uses now; it makes a new one when a program closes the old one."""
        session = hub_session()
        hooks = session.event_hooks
        if _on_request not in hooks["request"]:
            hooks = {"request": [_on_request, *hooks["request"]], "response": [*hooks["response"], _on_response]}
            session.event_hooks = hooks


@contextmanager
def monitored(deadline: Deadline, model: str, progress: Progress | None = None) -> Iterator[Monitor]:
    """Watch the requests that carry the monitor's headers, for the duration of the block.

    Raises:
        ConfigurationError: a variable on which every request depends is wrong.
    """
    check_requests()
    monitor = Monitor(deadline, model, progress)
    _monitors[monitor.tag] = monitor
    monitor.watch()
    try:
        yield monitor
    finally:
        del _monitors[monitor.tag]


def _on_request(request: httpx2.Request) -> None:
    tag = request.headers.pop(_TAG, None)
    monitor: Monitor | None = _monitors.get(tag) if tag else request.extensions.get(_EXTENSION)
    if monitor is None:
        return
    request.extensions = {
        **request.extensions,
        _EXTENSION: monitor,
        "timeout": _clamped(request, monitor),
        "trace": _tracer(request, monitor),
    }
    monitor.go_on()
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


def _tracer(request: httpx2.Request, monitor: Monitor) -> Callable[[str, Any], None]:
    asks_for_the_rest = "range" in request.headers

    def trace(event: str, info: Any) -> None:
        if not event.endswith(_FAILED) or not isinstance(info["exception"], Exception):
            return  # Ctrl-C ends a request too, and is no trouble that passes
        trouble = _told(info["exception"])
        monitor.raise_if_late(trouble, spare=_RESUME_PAUSE if asks_for_the_rest else 0.0)
        if not asks_for_the_rest:
            raise TryAgainError(trouble, request=_named(request))

    return trace


def _on_response(response: httpx2.Response) -> None:
    request = response.request
    monitor: Monitor | None = request.extensions.get(_EXTENSION)
    if monitor is None:
        return
    monitor.answered = True
    if response.status_code in PASSING:
        phrase = f"{response.status_code} {response.reason_phrase}".strip()
        wait = named_wait(response.headers)
        raise TryAgainError(phrase, request=_named(request), status=response.status_code, wait=wait)
    response.stream = _watched(response, monitor)
    check_response(response, model=monitor.model, commit=monitor.commit)


def _watched(response: httpx2.Response, monitor: Monitor) -> Any:
    stream, request = response.stream, response.request
    # huggingface_hub 1 talks through httpx, huggingface_hub 2 through httpx2: the same classes.
    library = sys.modules[type(response).__module__.partition(".")[0]]

    class WatchedStream(library.SyncByteStream):  # type: ignore[name-defined, misc]
        """The body as it comes from the network, piece by piece."""

        def __iter__(self) -> Iterator[bytes]:
            try:
                for piece in stream:
                    monitor.count(received=len(piece))
                    monitor.go_on()
                    yield piece
            except library.TransportError as error:
                trouble = _told(error)
                monitor.raise_if_late(trouble, spare=_RESUME_PAUSE)
                if "/api/" in request.url.path:
                    raise TryAgainError(trouble, request=_named(request)) from None
                # `http_get` goes on after this error, but not after a reset connection (a ReadError).
                raise library.RemoteProtocolError(str(error), request=request) from None

        def close(self) -> None:
            stream.close()

    return WatchedStream()


def _named(request: httpx2.Request) -> str:
    return f"{request.method} {request.url.path}"  # no host and no query: a redirect may hold a secret there


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
