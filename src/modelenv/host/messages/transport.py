"""How messages cross the socket between workers and the host.

The socket lies in a folder of mode 0700, and both ends check the other's user before they read a byte: nothing from
another user is ever unpickled. Messages are plain pickles; `multiprocessing`'s own pickler would pass torch tensors
by shared memory, which dies with the host.
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

# A host sends this to whoever connects. A process that was killed accepts connections for a while after its last
# instruction, until the kernel has taken its memory away: only who is greeted has reached a host that lives.
_GREETING = b"modelenv host"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred (unix(7))
_TIMEVAL = struct.Struct("ll")  # seconds, microseconds
SILENT_SECONDS = 30.0
"""How long a host may show no sign of life: no byte of a message, no greeting, no use of the processor."""


class UnreadableError(Exception):
    """A message came whole, but what it says cannot be made here, as where a class of the sender's is unknown."""


def connect(address: Path, deadline: Deadline) -> Connection | None:
    """Return a connection to the host that lives at the address, or None where there is none.

    Raises:
        TimeoutError: somebody holds the socket, and did not greet until the deadline.
        OSError: the socket cannot be reached.
        ModelHostError: it is another user's.
    """
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        peer.settimeout(max(deadline.remaining, 0.001))
        peer.connect(str(address))
        peer.setblocking(True)
        silent = _TIMEVAL.pack(int(SILENT_SECONDS), int(SILENT_SECONDS % 1 * 1_000_000))
        for direction in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # in the middle of a message, see socket(7)
            peer.setsockopt(socket.SOL_SOCKET, direction, silent)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):  # the last: too many others are waiting
        peer.close()
        return None
    except BaseException:
        peer.close()
        raise
    connection = Connection(peer.detach())
    at_fork(connection, Connection.close)  # it is the parent's
    try:
        check_peer(connection)
        if not connection.poll(deadline.remaining):
            raise TimeoutError  # noqa: TRY301 - the connection is to be closed as after any other
        if connection.recv_bytes(len(_GREETING)) == _GREETING:
            return connection
    except (EOFError, ConnectionError):
        pass  # it was about to end, or had ended
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def greet(connection: Connection) -> None:
    """Tell who connected that this host lives."""
    connection.send_bytes(_GREETING)


def has_hung_up(connection: Connection) -> bool:
    """Whether the host of an idle connection has ended: it says nothing unasked, so there is nothing else to read."""
    poll = select.poll()  # `Connection.poll` costs ten times as much, in each call
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@dataclass(frozen=True)
class Pickled:
    """A message that is pickled already."""

    data: bytes


def send(connection: Connection, message: object, otherwise: Callable[[Exception], object] | None = None) -> None:
    """Send one message; where it cannot be pickled, the one that `otherwise` makes of the error."""
    connection.send_bytes(message.data if isinstance(message, Pickled) else pickled(message, otherwise))


def pickled(message: object, otherwise: Callable[[Exception], object] | None = None) -> bytes:
    """Return the bytes of a message; where it cannot be pickled, of the one that `otherwise` makes of the error."""
    try:
        return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # objects raise whatever they like
        if otherwise is None:
            raise
        return pickle.dumps(otherwise(error))


def receive(connection: Connection) -> Any:
    """Return the next message. The peer's user was checked when it connected.

    Raises:
        UnreadableError: it cannot be unpickled; the connection is none the worse for it.
        EOFError, OSError: the peer ended.
    """
    return unpickled(connection.recv_bytes())


def unpickled(data: bytes) -> Any:
    """Return what `data` says; it comes from this user, who was checked on connecting.

    Raises:
        UnreadableError: it cannot be made here.
    """
    try:
        return pickle.loads(data)  # noqa: S301
    except Exception as error:
        raise UnreadableError(repr(error)) from error


def check_peer(connection: Connection) -> None:
    """Check that the process at the other end is of this user.

    Raises:
        ModelHostError: it is of another.
    """
    # Where the system does not tell, the folder's mode 0700 alone keeps others out.
    uid = (_credentials(connection) or (0, os.getuid()))[1]
    if uid != os.getuid():
        connection.close()
        raise ModelHostError(
            "the model host's socket is in other hands", expected=f"user {os.getuid()}", found=f"user {uid}"
        )


def peer_pid(connection: Connection) -> int | None:
    """Return the process at the other end; None if the system does not tell."""
    found = _credentials(connection)
    return None if found is None else found[0]


def _credentials(connection: Connection) -> tuple[int, int] | None:
    """Return the process and the user at the other end."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    with socket.socket(fileno=os.dup(connection.fileno())) as peer:
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return pid, uid
