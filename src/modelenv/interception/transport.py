"""Puts a transport of ours around those of an HTTP client of `huggingface_hub`.

`huggingface_hub` 1 uses httpx and `huggingface_hub` 2 uses httpx2, which have the same classes. So the library is
found from the client, and nothing is imported here. The client keeps everything that its factory has set, such as
proxies, certificates, hooks and timeouts.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from modelenv.interception.replies import FilePart, Reply

if TYPE_CHECKING:
    import httpx2

Answer = Callable[[Any], "Reply | str | None"]
"""Takes a request. Returns a response, the raw path to request instead, or None to send the request as it is."""

_HTTP_LIBRARIES = ("httpx", "httpx2")
_CHUNK = 1 << 20


def wrap_client(client: Any, answer: Answer) -> Any:
    """Have the client's requests answered by `answer`. Returns the client."""
    library = _library_of(client)
    is_async = isinstance(client, library.AsyncClient)
    wrapper = _AsyncTransport if is_async else _Transport

    def wrapped(inner: Any) -> Any:
        if inner is None:  # the default transport is used for this address
            return None
        is_wrapped = isinstance(inner, wrapper) and inner.answer == answer  # by a factory that returns one client
        return inner if is_wrapped else wrapper(inner, answer, library)

    client._transport = wrapped(client._transport)  # noqa: SLF001 - the only way to keep what the factory has set
    mounts = client._mounts  # noqa: SLF001
    client._mounts = {pattern: wrapped(inner) for pattern, inner in mounts.items()}  # noqa: SLF001
    return client


def _library_of(client: Any) -> Any:
    roots = (kind.__module__.partition(".")[0] for kind in type(client).__mro__)
    return sys.modules[next(root for root in roots if root in _HTTP_LIBRARIES)]


class _Transport:
    """Answers requests, or sends them with the inner transport."""

    def __init__(self, inner: httpx2.BaseTransport, answer: Answer, library: Any) -> None:
        self._inner = inner
        self.answer = answer
        self._library = library

    def handle_request(self, request: httpx2.Request) -> Any:
        outcome = self.answer(request)
        if isinstance(outcome, Reply):
            return _response(outcome, request, self._library)
        return self._inner.handle_request(_redirected(request, outcome, self._library))

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> _Transport:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)


class _AsyncTransport:
    """The same for an asynchronous client. An answer can fetch or hash a file, so it is computed on a thread."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, answer: Answer, library: Any) -> None:
        self._inner = inner
        self.answer = answer
        self._library = library

    async def handle_async_request(self, request: httpx2.Request) -> Any:
        from anyio import to_thread

        outcome = await to_thread.run_sync(self.answer, request)
        if isinstance(outcome, Reply):
            return _response(outcome, request, self._library)
        return await self._inner.handle_async_request(_redirected(request, outcome, self._library))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> _AsyncTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)


def _redirected(request: Any, raw_path: str | None, library: Any) -> Any:
    """Return the request for another path, with its query; itself if there is no other path."""
    if raw_path is None:
        return request
    query = request.url.raw_path.partition(b"?")[1:]
    url = request.url.copy_with(raw_path=b"".join((raw_path.encode("ascii"), *query)))
    return library.Request(
        request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
    )


def _response(reply: Reply, request: Any, library: Any) -> Any:
    body = reply.body
    content = {"stream": _file_stream(body, library)} if isinstance(body, FilePart) else {"content": body}
    if request.method == "HEAD":
        content = {"content": b""}
    return library.Response(
        reply.status,
        headers=dict(reply.headers),
        request=request,
        extensions={"http_version": b"HTTP/1.1"},
        **content,
    )


def _file_stream(part: FilePart, library: Any) -> Any:
    def pieces() -> Iterator[bytes]:
        with part.path.open("rb") as file:
            file.seek(part.start)
            left = part.length
            while left:
                piece = file.read(min(_CHUNK, left))
                if not piece:
                    raise library.RemoteProtocolError(f"{part.path} was shortened while it was read")
                left -= len(piece)
                yield piece

    class FileStream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        """The bytes of a file, read in chunks."""

        def __iter__(self) -> Iterator[bytes]:
            return pieces()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            from anyio import to_thread

            iterator = pieces()
            while (piece := await to_thread.run_sync(next, iterator, None)) is not None:
                yield piece

    return FileStream()
