"""The listening sockets of the Hub. They are bound to loopback addresses only."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from modelenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections import deque


def loopback(host: str) -> str:
    """Return the loopback address of `host`.

    Raises:
        ConfigurationError: The host is not a loopback address.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigurationError(
            "the embedded Hub serves only this machine", expected="a loopback address", found=repr(host)
        )
    return str(address)


def bind(host: str, port: int, used: deque[int]) -> socket.socket:
    """Return a socket bound to this port. 0 picks a free port that is not in `used`, and adds it to `used`.

    Raises:
        ConfigurationError: The port is taken.
    """
    listener = _bound(host, port)
    while port == 0 and listener.getsockname()[1] in used:
        listener.close()
        listener = _bound(host, port)
    used.append(listener.getsockname()[1])
    return listener


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given. With Nagle, each response takes 40 ms more.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            "the embedded Hub cannot listen on this port",
            found=f"{host} port {port}: {error.strerror}",
            hint="choose another port; 0 picks a free one",
        ) from error
    return listener


def address(host: str, listener: socket.socket) -> str:
    """Return the URL of a bound socket."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
