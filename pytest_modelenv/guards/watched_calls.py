"""The functions that send requests, watched: each behaves exactly as the original, and tells a `HubWatch`.

The bytes of a body are those that were read from the network, before they are decompressed. So a body that is not
read to its end counts as far as it was read.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pytest_modelenv.guards.patching import Patch, like, patch
from pytest_modelenv.guards.request_urls import XET_CALLS, of_http_client, of_httpcore, of_urllib3, xet_endpoint
from pytest_modelenv.guards.watching import HubWatch, SentRequest

_CRLF = b"\r\n"


def _httpcore(watch: HubWatch, original: Any) -> Any:
    @like(original)
    def handle_request(self: Any, request: Any) -> Any:
        __tracebackhide__ = True
        sent = watch.request(of_httpcore(self, request)[1], request.extensions)
        if sent is None:
            return original(self, request)
        with sent.timed():
            response = original(self, request)
        sent.answered(response.status, _location(response.headers))
        response.stream = _Stream(response.stream, sent)
        return response

    return handle_request


def _async_httpcore(watch: HubWatch, original: Any) -> Any:
    @like(original)
    async def handle_async_request(self: Any, request: Any) -> Any:
        __tracebackhide__ = True
        sent = watch.request(of_httpcore(self, request)[1], request.extensions)
        if sent is None:
            return await original(self, request)
        with sent.timed():
            response = await original(self, request)
        sent.answered(response.status, _location(response.headers))
        response.stream = _AsyncStream(response.stream, sent)
        return response

    return handle_async_request


def _location(headers: list[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"location"), None)


class _Body:
    """The body of a response, with everything that it has besides its bytes."""

    def __init__(self, body: Any, sent: SentRequest) -> None:
        self._body = body
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class _Stream(_Body):
    """A body that is iterated over. It is a generator, as in httpcore, and closes the body's own at once."""

    def __iter__(self) -> Iterator[bytes]:
        __tracebackhide__ = True
        pieces = iter(self._body)
        try:
            while True:
                with self._sent.timed():
                    piece = next(pieces, None)
                if piece is None:
                    return
                self._sent.add("bytes", len(piece))
                yield piece
        finally:
            if hasattr(pieces, "close"):
                pieces.close()


class _AsyncStream(_Body):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        __tracebackhide__ = True
        pieces = aiter(self._body)
        try:
            while True:
                with self._sent.timed():
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                self._sent.add("bytes", len(piece))
                yield piece
        finally:
            if hasattr(pieces, "aclose"):
                await pieces.aclose()


def _putrequest(watch: HubWatch, original: Any) -> Any:
    @like(original)
    def putrequest(
        self: Any, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False
    ) -> None:
        __tracebackhide__ = True
        vars(self)[_attribute(watch)] = sent = watch.request(of_http_client(self, method, url)[1])
        of_call = watch.of_call.get()
        if sent is not None and of_call is not None:
            of_call.append(sent)
        original(self, method, url, skip_host, skip_accept_encoding)

    return putrequest


def _endheaders(watch: HubWatch, original: Any) -> Any:
    """Watch the function that connects and sends the headers."""

    @like(original)
    def endheaders(self: Any, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        __tracebackhide__ = True
        sent = vars(self).get(_attribute(watch))
        if sent is None:
            original(self, message_body, encode_chunked=encode_chunked)
            return
        with sent.timed():
            original(self, message_body, encode_chunked=encode_chunked)

    return endheaders


def _getresponse(watch: HubWatch, original: Any) -> Any:
    @like(original)
    def getresponse(self: Any) -> Any:
        __tracebackhide__ = True
        sent = vars(self).pop(_attribute(watch), None)
        if sent is None:
            return original(self)
        with sent.timed():
            response = original(self)
        if isinstance(response, sys.modules["http.client"].HTTPResponse):  # a connection can have a class of its own
            sent.answered(response.status, response.headers.get("Location"))
            if response.fp is not None:
                response.fp = _File(response.fp, sent, is_chunked=bool(response.chunked))
        return response

    return getresponse


def _attribute(watch: HubWatch) -> str:
    """Return the attribute of an `http.client` connection with its current request. Runs can be nested."""
    return f"_modelenv_sent_{id(watch)}"


class _File(_Body):
    """The file from which `http.client` reads a body.

    If the body is sent in chunks, their lengths are read with `readline`, and the ends of lines after them alone.
    Neither belongs to the body.
    """

    def __init__(self, body: Any, sent: SentRequest, *, is_chunked: bool) -> None:
        super().__init__(body, sent)
        self._is_chunked = is_chunked

    def read(self, *args: Any) -> bytes:
        return self._counted(self._body.read, *args)

    def read1(self, *args: Any) -> bytes:
        return self._counted(self._body.read1, *args)

    def readline(self, *args: Any) -> bytes:
        return self._body.readline(*args) if self._is_chunked else self._counted(self._body.readline, *args)

    def readinto(self, buffer: Any) -> int:
        with self._sent.timed():
            count: int = self._body.readinto(buffer)
        self._sent.add("bytes", count)
        return count

    def _counted(self, read: Callable[..., bytes], *args: Any) -> bytes:
        with self._sent.timed():
            data = read(*args)
        if not (self._is_chunked and data == _CRLF):
            self._sent.add("bytes", len(data))
        return data


def _urlopen(watch: HubWatch, original: Any) -> Any:
    """Count a request of urllib3 that found no connection: for https, it connects before it sends."""

    @like(original)
    def urlopen(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if watch.find(of_urllib3(self, method, url)[1]) is None:
            return original(self, method, url, *args, **kwargs)
        outer, inner, started = watch.of_call.get(), list[SentRequest](), time.perf_counter()
        token = watch.of_call.set(inner)
        try:
            return original(self, method, url, *args, **kwargs)
        except BaseException:
            if not inner and (sent := watch.request(of_urllib3(self, method, url)[1])) is not None:
                sent.add("seconds", time.perf_counter() - started)
                inner.append(sent)
            raise
        finally:
            watch.of_call.reset(token)
            if outer is not None:
                outer += inner

    return urlopen


def _xet(watch: HubWatch, original: Any) -> Any:
    @like(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        watch.xet(xet_endpoint(*args, **kwargs))
        return original(*args, **kwargs)

    return call


_HTTPCORE = (
    ("ConnectionPool.handle_request", _httpcore),
    ("AsyncConnectionPool.handle_async_request", _async_httpcore),
)
WATCHED: Mapping[str, tuple[tuple[str, Callable[[HubWatch, Any], Any]], ...]] = MappingProxyType(
    {
        "httpcore": _HTTPCORE,
        "httpcore2": _HTTPCORE,
        "http.client": (
            ("HTTPConnection.putrequest", _putrequest),
            ("HTTPConnection.endheaders", _endheaders),
            ("HTTPConnection.getresponse", _getresponse),
        ),
        "urllib3.connectionpool": (("HTTPConnectionPool.urlopen", _urlopen),),
        "hf_xet": tuple((path, _xet) for path in XET_CALLS),
    }
)
"""The functions to watch, by module. Those that the installed version of a library lacks are skipped."""


def watch_module(name: str, watch: HubWatch) -> list[Patch]:
    """Watch the functions of an imported module. Return the patches, to undo them."""
    made = (patch(name, path, functools.partial(wrap, watch)) for path, wrap in WATCHED[name])
    return [each for each in made if each is not None]
