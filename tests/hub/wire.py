"""A client that uses a plain socket."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace

URL = "/org/name/resolve/main/data.txt"


@dataclass(frozen=True)
class Wire:
    """The received bytes, how the connection ended, and the times of the first and last bytes.

    `first_body` is how much of the body the first bytes brought.
    """

    head: bytes
    body: bytes
    end: str
    first: float
    seconds: float
    first_body: int = 0

    def is_whole(self, method: str) -> bool:
        """Whether the response is complete according to its headers, which always arrive in one piece."""
        if not self.head:
            return False
        return method == "HEAD" or self.status == 304 or len(self.body) >= int(self.header("content-length"))

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def header(self, name: str) -> str:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return next(value.strip() for key, _, value in (line.partition(":") for line in lines) if key.lower() == name)


def exchange(endpoint: str, url: str = URL, method: str = "GET", *, wait: float = 0.15, **headers: str) -> Wire:
    """Send one request. Reads until the connection ends, or until `wait` seconds pass after a complete response."""
    host, port = endpoint.removeprefix("http://").split(":")
    sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    wire = Wire(b"", b"", "open", 0.0, 0.0)
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        start = time.monotonic()
        connection.sendall(f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n{sent}\r\n".encode())
        received = b""
        while True:
            connection.settimeout(wait if wire.is_whole(method) else 60)
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                return replace(wire, end="reset")
            except TimeoutError:
                return wire
            if not piece:
                return replace(wire, end="closed")
            received += piece
            head, _, body = received.partition(b"\r\n\r\n")
            seconds = time.monotonic() - start
            wire = Wire(
                head, body, "open", wire.first or seconds, seconds, wire.first_body if wire.head else len(body)
            )
