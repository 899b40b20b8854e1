"""Sends and receives messages over the socket between workers and the host.

The socket is in a folder with mode 0700, and both ends check the other's user before they read a byte. So nothing
from another user is ever unpickled. Messages are plain pickles: the pickler of `multiprocessing` would pass torch
tensors in shared memory, which ends with the host.
"""

from __future__ import annotations

import os
import pickle
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import ModelHostError
from modelenv.forks import at_fork

# A host sends this to each client that connects. A killed process accepts connections for a while after its last
# instruction, until the kernel has freed its memory. So only a client that receives the greeting has reached a host
# that is alive.
_GREETING = b"modelenv host"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred (unix(7))
_TIMEVAL = struct.Struct("ll")  # seconds, microseconds
SILENT_SECONDS = 30.0
"""How long a host can be without a sign of life: a byte of a message, a greeting, or use of the processor."""


class UnreadableError(Exception):
    """A complete message cannot be unpickled, for example because one of the sender's classes is unknown here."""


def connect(address: Path, deadline: Deadline) -> Connection | None:
    """Return a connection to the host at the address, or None if no host is running there.

    Raises:
        TimeoutError: A process accepted the connection, but did not send the greeting before the deadline.
        OSError: The socket cannot be reached.
        ModelHostError: The socket belongs to another user.
    """
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        peer.settimeout(max(deadline.remaining, 0.001))
        peer.connect(str(address))
        peer.setblocking(True)
        silent = _TIMEVAL.pack(int(SILENT_SECONDS), int(SILENT_SECONDS % 1 * 1_000_000))
        for direction in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # for waits within a message, see socket(7)
            peer.setsockopt(socket.SOL_SOCKET, direction, silent)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):  # the last: too many clients are waiting
        peer.close()
        return None
    except BaseException:
        peer.close()
        raise
    connection = Connection(peer.detach())
    at_fork(connection, Connection.close)  # it belongs to the parent
    try:
        check_peer(connection)
        if not connection.poll(deadline.remaining):
            raise TimeoutError  # noqa: TRY301 - the connection is closed below, as for any other error
        if connection.recv_bytes(len(_GREETING)) == _GREETING:
            return connection
    except (EOFError, ConnectionError):
        pass  # the host has ended, or is about to
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def greet(connection: Connection) -> None:
    """Send the greeting, which shows the client that this host is alive."""
    connection.send_bytes(_GREETING)


def has_hung_up(connection: Connection) -> bool:
    """Whether the host of an idle connection has ended. Nothing else is readable: a host only answers requests."""
    poll = select.poll()  # ten times as fast as `Connection.poll`, in each call
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@dataclass(frozen=True)
class Pickled:
    """A message that is already pickled."""

    data: bytes


def send(connection: Connection, message: object, otherwise: Callable[[Exception], object] | None = None) -> None:
    """Send one message. If it cannot be pickled, send the message that `otherwise` returns for the error."""
    connection.send_bytes(message.data if isinstance(message, Pickled) else pickled(message, otherwise))


def pickled(message: object, otherwise: Callable[[Exception], object] | None = None) -> bytes:
    """Return the pickled message, or the pickled result of `otherwise` for the error if it cannot be pickled."""
    try:
        return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # an object can raise any exception
        if otherwise is None:
            raise
        return pickle.dumps(otherwise(error))


def receive(connection: Connection) -> Any:
    """Return the next message. The peer's user was checked when it connected.

    Raises:
        UnreadableError: The message cannot be unpickled. The connection can still be used.
        EOFError, OSError: The peer ended.
    """
    return unpickled(connection.recv_bytes())


def unpickled(data: bytes) -> Any:
    """Unpickle `data`, which comes from this user: that is checked on connecting.

    Raises:
        UnreadableError: The data cannot be unpickled.
    """
    try:
        return pickle.loads(data)  # noqa: S301 - from our own user, checked on connecting
    except Exception as error:
        raise UnreadableError(repr(error)) from error


def check_peer(connection: Connection) -> None:
    """Check that the process at the other end belongs to this user.

    Raises:
        ModelHostError: It belongs to another user.
    """
    # If the system does not report the user, only the folder's mode 0700 keeps other users out.
    uid = (_credentials(connection) or (0, os.getuid()))[1]
    if uid != os.getuid():
        connection.close()
        raise ModelHostError(
            "the model host's socket belongs to another user", expected=f"user {os.getuid()}", found=f"user {uid}"
        )


def peer_pid(connection: Connection) -> int | None:
    """Return the id of the process at the other end, or None if the system does not report it."""
    found = _credentials(connection)
    return None if found is None else found[0]


def _credentials(connection: Connection) -> tuple[int, int] | None:
    """Return the ids of the process and the user at the other end, or None if the system does not report them."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    with socket.socket(fileno=os.dup(connection.fileno())) as peer:
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return pid, uid
