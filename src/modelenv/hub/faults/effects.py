"""The effects of faults on the wire: on the connection, and on the messages of a response before they are sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

    from modelenv.hub.faults.script import FaultHandle

# Seconds between pieces of a slowed-down body, and between checks that the client is still connected.
_TICK = 0.05
# SO_LINGER with 0 seconds: closing sends RST and discards unsent data (socket(7)).
_RESET = struct.pack("ii", 1, 0)
_CONTENT_RANGE = re.compile(rb"bytes (\d+)-")


class BrokenOffError(Exception):
    """The response ends here, because its connection is closed or about to be closed."""


class Connection:
    """The TCP connection of one request.

    Args:
        transport: uvicorn's transport.
        receive: The ASGI channel of the request, on which uvicorn reports that the client has disconnected.
    """

    def __init__(self, transport: asyncio.Transport, receive: Receive) -> None:
        self._transport = transport
        self._receive = receive

    async def sleep(self, seconds: float) -> None:
        """Wait while the client is connected.

        Raises:
            BrokenOffError: The client has disconnected.
        """
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            if self._transport.is_closing():
                raise BrokenOffError
            await asyncio.sleep(min(left, _TICK))

    def write(self, data: bytes) -> None:
        """Send raw bytes, which HTTP would not allow here."""
        self._transport.write(data)

    async def close(self) -> None:
        """Send the buffered data, then close. Returns when the connection is closed."""
        self._transport.close()
        await self.gone()

    async def gone(self) -> None:
        """Wait until uvicorn has noticed that the connection is closed. Until then it would complete the response."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def reset(self) -> None:
        """Reset the connection once all written data has been handed to the kernel."""
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(_TICK / 10)
        reset(self._transport)
        await self.gone()


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a TCP RST."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def altered(fault: FaultHandle, connection: Connection, send: Send, *, has_body: bool) -> Send:
    """Return a `send` that applies the fault to the response before it is sent."""
    rule = fault.rule
    if rule.wrong_etag:
        send = _on_headers(_wrong_etag, send)
    if rule.lying_headers is not None:
        send = _with_headers(rule.lying_headers, send)
    if rule.length_off_by is not None:
        send = _WrongLength(rule.length_off_by, connection, send, has_body=has_body)
    if not has_body:
        return send
    if rule.bytes_per_second is not None:
        send = _paced(fault, rule.bytes_per_second, connection, send)
    if rule.cut_after is not None:
        send = _Cut(rule.cut_after, rule.reset, connection, send)
    if rule.flip_byte is not None:
        send = _FlippedByte(rule.flip_byte, send)
    if rule.lying_fields is not None:  # last here, so first to see the response, whose length it changes
        send = _LyingFields(rule.lying_fields, send)
    return send


def _paced(fault: FaultHandle, bytes_per_second: float, connection: Connection, send: Send) -> Send:
    size = max(1, int(bytes_per_second * _TICK))

    async def paced_send(message: Message) -> None:
        body = message.get("body", b"")
        while body and fault.is_set:
            piece, body = body[:size], body[size:]
            await send({**message, "body": piece, "more_body": True})
            await connection.sleep(len(piece) / bytes_per_second)
        await send({**message, "body": body} if "body" in message else message)

    return paced_send


def _on_headers(change: Callable[[bytes, bytes], bytes], send: Send) -> Callable[[Message], Awaitable[None]]:
    async def changed_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, change(name.lower(), value)) for name, value in message["headers"]]
            message = {**message, "headers": headers}
        await send(message)

    return changed_send


def _wrong_etag(name: bytes, value: bytes) -> bytes:
    """Return another ETag of the same form, always the same one."""
    if name not in (b"etag", b"x-linked-etag"):
        return value
    plain = value.strip(b'"')
    other = hashlib.sha256(plain).hexdigest().encode()[: len(plain)]
    return value.replace(plain, other)


def _with_headers(lies: Mapping[str, str], send: Send) -> Callable[[Message], Awaitable[None]]:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in lies.items()]
    names = {name for name, _ in raw}

    async def lying_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in names]
            message = {**message, "headers": [*kept, *raw]}
        await send(message)

    return lying_send


class _LyingFields:
    """Buffers the body and, if it is JSON, replaces values in it before sending it."""

    def __init__(self, lies: Mapping[str, Any], send: Send) -> None:
        self._lies = lies
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if self._start is None or message.get("more_body"):
            return
        body = self._changed()
        length = (b"content-length", str(len(body)).encode())
        headers = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
        await self._send({**self._start, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": body})

    def _changed(self) -> bytes:
        try:
            content = json.loads(self._body)
        except ValueError:
            return self._body
        return json.dumps(self._lied(content)).encode()

    def _lied(self, content: Any) -> Any:
        if isinstance(content, list):
            return [self._lied(item) for item in content]
        if isinstance(content, dict):
            return {name: self._lies.get(name, self._lied(value)) for name, value in content.items()}
        return content


class _Cut:
    def __init__(self, after: int, reset: bool, connection: Connection, send: Send) -> None:
        self._left = after
        self._reset = reset
        self._connection = connection
        self._send = send

    async def __call__(self, message: Message) -> None:
        body = message.get("body", b"")
        if len(body) <= self._left:
            self._left -= len(body)
            await self._send(message)
            return
        await self._send({**message, "body": body[: self._left], "more_body": True})
        await (self._connection.reset() if self._reset else self._connection.close())
        raise BrokenOffError


class _FlippedByte:
    def __init__(self, place: int, send: Send) -> None:
        self._place = place
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message["headers"]}
            part = _CONTENT_RANGE.match(headers.get(b"content-range", b""))
            self._place -= int(part[1]) if part else 0
        body = bytearray(message.get("body", b""))
        if 0 <= self._place < len(body):
            body[self._place] ^= 0xFF
            message = {**message, "body": bytes(body)}
        self._place -= len(body)
        await self._send(message)


class _WrongLength:
    """Sends a wrong Content-Length, then the whole body, and closes the connection.

    Bytes beyond the Content-Length are written directly to the transport, because the HTTP layer would refuse them.
    """

    def __init__(self, off_by: int, connection: Connection, send: Send, *, has_body: bool) -> None:
        self._off_by = off_by
        self._has_body = has_body
        self._announced: int | None = None
        self._connection = connection
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await _on_headers(self._announce, self._send)(message)
            return
        if self._announced is None or not self._has_body:
            await self._send(message)
            return
        body = message.get("body", b"")
        await self._send({**message, "body": body[: self._announced], "more_body": True})
        self._connection.write(body[self._announced :])
        self._announced = max(0, self._announced - len(body))
        if not message.get("more_body"):
            await self._connection.close()
            raise BrokenOffError

    def _announce(self, name: bytes, value: bytes) -> bytes:
        if name != b"content-length":
            return value
        self._announced = max(0, int(value) + self._off_by)
        return str(self._announced).encode()
