"""The response to `resolve`: the headers and bytes of a file, with ranges and conditions, streamed from disk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from starlette.responses import Response

from modelenv.hub.http.responses import RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from modelenv.hub.repos.commits import Snapshot
    from modelenv.hub.repos.content import ServedFile

# Files are read in large pieces, which is faster, and in small ones while many are sent, which limits the memory.
_LARGEST_CHUNK = 1024 * 1024
_SMALLEST_CHUNK = 64 * 1024
_ALL_CHUNKS = 64 * 1024 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Sending:
    """The files that are being sent, which determine the size of the pieces."""

    def __init__(self) -> None:
        self._files = 0  # changed only on the server's thread

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Context manager: count one more file as being sent."""
        self._files += 1
        try:
            yield
        finally:
            self._files -= 1

    def next_piece(self) -> int:
        """Return the size of the next piece."""
        return max(_SMALLEST_CHUNK, min(_LARGEST_CHUNK, _ALL_CHUNKS // max(1, self._files)))


@dataclass(frozen=True)
class Span:
    """The bytes of a file from `start` up to, not including, `stop`."""

    start: int
    stop: int


def read_range(header: str | None, size: int) -> Span | None:
    """Return the requested range, or None for the whole file (RFC 9110, section 14).

    A header that is malformed or has several ranges is ignored, as the RFC allows.

    Raises:
        RefusedError: The range is beyond the end of the file (status 416).
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        span = Span(max(0, size - int(match[2])), size)
    else:
        span = Span(int(match[1]), min(size, int(match[2]) + 1 if match[2] else size))
        if match[2] and int(match[2]) < int(match[1]):
            return None
    if span.start >= size or span.start >= span.stop:
        raise RefusedError(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return span


def file_response(request: Request, snapshot: Snapshot, file: ServedFile, sending: Sending) -> Response:
    """Return the response to a GET or HEAD of this file: 200, 206 or 304.

    Raises:
        RefusedError: The range is beyond the end of the file.
    """
    size = file.found.size
    etag = f'"{file.etag}"'
    headers = {
        "ETag": etag,
        "X-Repo-Commit": snapshot.commit,
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(file.found.path),
        "Content-Type": "text/plain; charset=utf-8" if file.sha256 is None else "application/octet-stream",
    }
    if file.sha256 is not None:
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(size)}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range")
    if request.method == "HEAD" or request.headers.get("if-range", etag) != etag:
        asked = None
    span = read_range(asked, size)
    if span is None:
        return FileBody(file, Span(0, size), 200, headers, sending)
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    return FileBody(file, span, 206, headers, sending)


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or "*" in tags


def _disposition(path: str) -> str:
    name = path.rpartition("/")[2]
    plain = re.sub(r'[^\x20-\x7e]|["\\]', "_", name)
    return f"inline; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";"


class FileBody(Response):
    """A part of a file, read in chunks while it is sent."""

    def __init__(self, file: ServedFile, span: Span, status: int, headers: dict[str, str], sending: Sending) -> None:
        super().__init__(status_code=status, headers={**headers, "Content-Length": str(span.stop - span.start)})
        self._location = file.found.location
        self._span = span
        self._sending = sending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers and, except for a HEAD, the bytes. Stops as soon as the client disconnects."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        stream = await asyncio.to_thread(self._location.open, "rb")
        gone = asyncio.ensure_future(_disconnection(receive))
        try:
            await send(start)
            with self._sending.one_more():
                await self._send_bytes(stream, gone, send)
        finally:
            gone.cancel()
            stream.close()

    async def _send_bytes(self, stream: BinaryIO, gone: asyncio.Future[None], send: Send) -> None:
        stream.seek(self._span.start)
        left = self._span.stop - self._span.start
        while left and not gone.done():
            chunk = await asyncio.to_thread(stream.read, min(left, self._sending.next_piece()))
            if not chunk:
                # The file was shortened after it was listed. Ending here makes the server abort the connection.
                return
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
