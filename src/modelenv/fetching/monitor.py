"""Monitors one download by `huggingface_hub`: counts its requests and bytes, and enforces its deadline.

`huggingface_hub` downloads on its own threads, which do not inherit context variables. So each request of a download
carries a tag in its headers. A hook on the client removes the tag before the request is sent, and counts the requests
and bytes that belong to it. A download with the native Xet client makes no such requests, so only the caller's own
deadline applies to it.

`huggingface_hub` 2.4 has its own retries, which ignore the deadline. So a temporary failure leaves it at once as a
`TryAgainError`, and the caller decides. There is one exception: when the body of a file breaks off, `huggingface_hub`
requests the rest after one second (`http_get` in file_download.py). Only it can do so, because it has the first part.
"""

from __future__ import annotations

import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
_RESUME_PAUSE = 1.0  # seconds that `http_get` sleeps before it requests the rest of a body
# The ends of the names of events in the HTTP library that mean that a request failed before its response began
# (https://www.python-httpx.org/advanced/extensions/#trace). Errors while sending are not among them, because a
# response can still arrive.
_FAILED = ("connect_tcp.failed", "start_tls.failed", "receive_response_headers.failed")
_monitors: WeakValueDictionary[str, Monitor] = WeakValueDictionary()


class StoppedError(Exception):
    """The download was stopped, because another part of it failed or the program is ending."""


@dataclass(eq=False)
class Monitor:
    """The requests and bytes of one download, and its deadline.

    Attributes:
        deadline: The deadline of the whole download.
        model: The model's name, for errors.
        progress: Called from any thread with the number of bytes that were just received.
        commit: The commit that is being fetched, or None until it is known. Responses must not name another.
        tag: The tag that identifies the download's requests.
        requests: The number of requests made so far.
        bytes_received: The number of bytes received so far.
        answered: Whether the Hub has responded to any request.
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
    _reading: set[socket.socket] = field(default_factory=set, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers to pass to `huggingface_hub`. They identify the requests of this download."""
        return {_TAG: self.tag}

    def raise_if_late(self, trouble: str | None = None, *, spare: float = 0.0) -> None:
        """Raise `ModelLoadTimeoutError` if the deadline has passed, or passes within `spare` seconds.

        Args:
            trouble: The last problem, for the error.
            spare: The seconds that must be left for the download to continue.
        """
        if self.deadline.remaining <= spare:
            last = "" if trouble is None else f"; last error: {trouble}"
            raise self.deadline.passed(self.model, f"fetching it ({self.bytes_received:,} bytes received{last})")

    def count(self, *, requests: int = 0, received: int = 0) -> None:
        """Add to the counts; called from the client's threads."""
        with self._lock:
            self.requests += requests
            self.bytes_received += received
        if self.progress is not None and received:
            self.progress(received)

    def stop(self) -> None:
        """Stop the download: waits and the bodies that are being received end at once, other requests a little later.

        A thread that waits for the next bytes is woken by shutting its socket down.
        """
        self._stopped.set()
        with self._lock:
            for each in self._reading:
                with suppress(OSError):  # already closed by the other side
                    socket.socket.shutdown(each, socket.SHUT_RDWR)  # of an SSL socket too, whose own one is not safe

    @contextmanager
    def receiving(self, response: httpx2.Response) -> Iterator[None]:
        """Context manager: receive the body of a response, until `stop` is called.

        Raises:
            StoppedError: `stop` was called.
        """
        stream = response.extensions.get("network_stream")
        used = None if stream is None else stream.get_extra_info("socket")
        if used is not None:
            with self._lock:
                self._reading.add(used)
        try:
            self.go_on()
            yield
        except Exception:
            if self._stopped.is_set():
                raise StoppedError from None
            raise
        finally:
            with self._lock:
                self._reading.discard(used)

    def go_on(self) -> None:
        """Check that the download can continue.

        Raises:
            StoppedError: `stop` was called.
            ModelLoadTimeoutError: The deadline has passed.
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
        """Install the hooks on the current client of `huggingface_hub`, which can be a new one."""
        session = hub_session()
        hooks = session.event_hooks
        if _on_request not in hooks["request"]:
            hooks = {"request": [_on_request, *hooks["request"]], "response": [*hooks["response"], _on_response]}
            session.event_hooks = hooks


@contextmanager
def monitored(deadline: Deadline, model: str, progress: Progress | None = None) -> Iterator[Monitor]:
    """Context manager: monitor the requests that carry the monitor's headers.

    Raises:
        ConfigurationError: A variable that every request depends on is invalid.
    """
    check_requests()
    monitor = Monitor(deadline, model, progress)
    _monitors[monitor.tag] = monitor
    monitor.watch()
    try:
        yield monitor
    finally:
        del _monitors[monitor.tag]


def is_downloading() -> bool:
    """Whether a monitored download is running in this process."""
    return bool(_monitors)


def is_monitored(request: httpx2.Request) -> bool:
    """Whether the request belongs to a download of ours."""
    return _EXTENSION in request.extensions


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
    """Return the timeouts of a request, limited so that no single wait exceeds the deadline."""
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
            return  # Ctrl-C also ends a request, and must not be retried
        trouble = _described(info["exception"])
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
    # huggingface_hub 1 uses httpx, huggingface_hub 2 uses httpx2. Both have the same classes.
    library = sys.modules[type(response).__module__.partition(".")[0]]

    class WatchedStream(library.SyncByteStream):  # type: ignore[name-defined, misc]
        """The body of a response, counted as it arrives."""

        def __iter__(self) -> Iterator[bytes]:
            try:
                with monitor.receiving(response):
                    for piece in stream:
                        monitor.count(received=len(piece))
                        monitor.go_on()
                        yield piece
            except library.TransportError as error:
                trouble = _described(error)
                monitor.raise_if_late(trouble, spare=_RESUME_PAUSE)
                if "/api/" in request.url.path:
                    raise TryAgainError(trouble, request=_named(request)) from None
                # `http_get` resumes after this error, but not after a reset connection (a ReadError).
                raise library.RemoteProtocolError(str(error), request=request) from None

        def close(self) -> None:
            stream.close()

    return WatchedStream()


def _named(request: httpx2.Request) -> str:
    return f"{request.method} {request.url.path}"  # no host and no query: a redirect can have a secret there


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
