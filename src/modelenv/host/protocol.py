"""What workers and the host say to each other: values, and how they cross the socket.

The socket lies in a folder of mode 0700, and both ends check the other's user before they read a byte: nothing from
another user is ever unpickled. Messages are plain pickles; `multiprocessing`'s own pickler would pass torch tensors
by shared memory, which dies with the host.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from modelenv.errors import ModelHostError

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred (unix(7))


@dataclass(frozen=True)
class Recipe:
    """What makes a pipeline: the same recipe gives the same pipeline, loaded once by the host.

    Attributes:
        folder: the model's folder.
        fingerprint: the state of its files, so that a changed folder is another model.
        task: a task of transformers' registry.
        arguments: for `transformers.pipeline`, pickled: not everything in them can be hashed.
        device: `auto` or a torch device.
        trust_remote_code: whether code in the folder may run.
        model: the model's name, for errors.
    """

    folder: str
    fingerprint: int
    task: str
    arguments: bytes
    device: str
    trust_remote_code: bool
    model: str


@dataclass(frozen=True)
class Build:
    """Load the recipe's pipeline, if it is not loaded; answers `Built`."""

    recipe: Recipe
    seconds: float


@dataclass(frozen=True)
class Built:
    """The pipeline is there. `fresh` says that this request loaded it, in `seconds`."""

    fresh: bool
    seconds: float


@dataclass(frozen=True)
class Call:
    """Call what the path of attributes leads to, from the pipeline on; answers the result."""

    recipe: Recipe
    path: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Get:
    """Ask for the attribute that the path leads to; answers `Plain` or `Callable`."""

    recipe: Recipe
    path: tuple[str, ...]


@dataclass(frozen=True)
class Plain:
    """An attribute's value, made of plain types."""

    value: Any


@dataclass(frozen=True)
class Reachable:
    """An attribute that is no plain value; it stays in the host. `callable` says whether it can be called there."""

    callable: bool


@dataclass(frozen=True)
class Stream:
    """Run the pipeline over items that follow one by one, as `NextItem` asks for them."""

    recipe: Recipe
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Started:
    """The pipeline accepted the stream; its results follow, each as an `Item`."""


@dataclass(frozen=True)
class NextItem:
    """From the host, while it runs over a stream: send the next `Item`, or `EndOfItems`."""


@dataclass(frozen=True)
class Item:
    """One input of a stream, or one of its results."""

    value: Any


@dataclass(frozen=True)
class EndOfItems:
    """There are no more items."""


@dataclass(frozen=True)
class PlannedModel:
    """A model that tests will ask for: the arguments of `load_model`, with the keyword arguments pickled."""

    name: str
    task: str | None
    arguments: bytes


@dataclass(frozen=True)
class Prepare:
    """Fetch and load these models, before anybody asks for them; answers `HostStatus` at once."""

    models: tuple[PlannedModel, ...]
    failures: str | None


@dataclass(frozen=True)
class TakeReports:
    """Ask for the `LoadReport`s of what was prepared since the last time; answers a tuple of them."""


@dataclass(frozen=True)
class Status:
    """Ask what the host holds; answers `HostStatus`."""


@dataclass(frozen=True)
class Stop:
    """End the host once the calls under way are done."""


@dataclass(frozen=True)
class HostStatus:
    """What a host holds: its process, the models and how long it has been idle."""

    pid: int
    models: tuple[str, ...]
    idle_seconds: float
    threads: int


@dataclass(frozen=True)
class Failure:
    """An exception of the host's: pickled, with its traceback as text."""

    error: bytes
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure for `error`; one that does not pickle becomes its nearest builtin class."""
        trace = "".join(traceback.format_exception(error))
        try:
            data = pickle.dumps(error)
            pickle.loads(data)  # noqa: S301 - our own bytes: some exceptions pickle and do not come back
        except Exception:  # noqa: BLE001 - whatever goes wrong, the builtin parent crosses
            builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
            data = pickle.dumps(builtin(str(error)))
        return cls(data, trace)

    def raise_here(self) -> None:
        """Raise the exception, with the host's traceback as its cause."""
        error: BaseException = pickle.loads(self.error)  # noqa: S301 - from our own user's host, checked on connecting
        raise error from HostTraceback(self.trace)


class HostTraceback(Exception):  # noqa: N818 - never raised by itself; it shows where an error arose
    """The traceback of an exception, as it was in the host."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace)
        self.trace = trace

    def __str__(self) -> str:
        return f'\n"""\n{self.trace}"""'


def send(connection: Connection, message: object) -> None:
    """Send one message."""
    connection.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def receive(connection: Connection) -> Any:
    """Return the next message. The peer's user was checked when it connected."""
    return pickle.loads(connection.recv_bytes())  # noqa: S301


def check_peer(connection: Connection) -> None:
    """Check that the process at the other end is of this user.

    Raises:
        ModelHostError: it is of another.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as peer:
        if hasattr(socket, "SO_PEERCRED"):
            data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(data)
        else:
            uid = os.getuid()  # there the folder's mode 0700 alone keeps others out
    if uid != os.getuid():
        connection.close()
        raise ModelHostError(
            "the model host's socket is in other hands", expected=f"user {os.getuid()}", found=f"user {uid}"
        )
