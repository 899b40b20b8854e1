"""A worker's connection to the host, and how requests are sent over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline, imports_not_counted
from modelenv.errors import ModelHostError, ModelLoadTimeoutError
from modelenv.host.messages.pickling import CannotCrossError, crossing
from modelenv.host.messages.protocol import AwaitLibraries, Build, Built, CannotCross, Recipe
from modelenv.host.messages.pulse import is_answered, stopped
from modelenv.host.messages.remote_errors import Failure, HostTraceback
from modelenv.host.messages.transport import UnreadableError, peer_pid, receive

_IMPORTS = "waiting for the model host to import torch and transformers"
_LOADS = "waiting for the model host to load it"
_HOST_REPORT_SECONDS = 1.0  # for the host's own error about a load whose deadline has passed


@dataclass(eq=False)
class HostConnection:
    """A connection to one host.

    Attributes:
        connection: The connection.
        address: The host's socket.
        held: The recipes that the host has loaded over this connection. If it has unloaded one, it loads it again
            on the next request.
        has_libraries: Whether the host is known to have imported torch and transformers.
    """

    connection: Connection
    address: Path
    held: set[Recipe] = field(default_factory=set)
    has_libraries: bool = False

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def send(self, data: bytes) -> None:
        """Send a pickled message. Use it only within `one_request`."""
        self.connection.send_bytes(data)

    def receive(self, model: str) -> Any:
        """Wait for the host's next message and return it, or `CannotCross` if it cannot be unpickled here.

        Use it only within `one_request`.
        """
        is_answered(self.connection, self.address, model)
        return received(self.connection)


def hold(host: HostConnection, recipe: Recipe, deadline: Deadline) -> Built:
    """Make the host load the recipe's pipeline, unless it holds it. Raises the same errors as `HostClient.build`."""
    if recipe in host.held:
        return Built(fresh=False, seconds=0.0)
    if not host.has_libraries:
        with imports_not_counted(), deadline.stages.doing(_IMPORTS):
            exchange(host, AwaitLibraries(), recipe.model)
        host.has_libraries = True
    try:
        with deadline.stages.doing(_LOADS):
            built: Built = exchange(host, Build(recipe, deadline.remaining), recipe.model, deadline)
    except ModelLoadTimeoutError as error:
        if isinstance(error.__cause__, HostTraceback):  # raised in the host, and names only the host's stages
            raise deadline.passed(recipe.model, f"{_LOADS}, which reports: {error.found}") from error
        raise
    host.held.add(recipe)
    return built


def exchange(host: HostConnection, message: object, model: str, deadline: Deadline | None = None) -> Any:
    """Send a message and return its answer.

    If we stop waiting, we close the connection, so that the late answer is not read as that to the next request.

    Raises:
        ModelHostError: The host ended, or is stopped.
        ModelLoadTimeoutError: The deadline passed.
        CannotCrossError: The message or its answer cannot be sent, or cannot be read on the other side.
        Exception: The request raised it in the host. Its cause is the host's traceback.
    """
    data = crossing(message)
    with one_request(host, model):
        host.send(data)
        answered = is_answered(host.connection, host.address, model, deadline)
        if deadline is not None and not answered and not host.connection.poll(_HOST_REPORT_SECONDS):
            raise deadline.passed(model, _LOADS)
        reply = received(host.connection)
    if isinstance(reply, Failure):
        reply.raise_here()
    if isinstance(reply, CannotCross):
        raise CannotCrossError(reply.reason)
    return reply


def received(connection: Connection) -> Any:
    """Return the host's next message, or `CannotCross` if it cannot be unpickled here."""
    try:
        return receive(connection)
    except UnreadableError as error:
        return CannotCross(f"its result cannot be read: {error}")


@contextmanager
def one_request(host: HostConnection, model: str) -> Iterator[None]:
    """Context manager for one request and its answer. If they are interrupted, it closes the connection.

    Raises:
        ModelHostError: The connection is closed, or the host ended or is stopped.
    """
    if host.connection.closed:
        raise ModelHostError(
            "the connection to the model host is closed",
            model=model,
            found="a stream of results that was interrupted, or that the parent process started before a fork",
            hint="call the pipeline again in this process",
        )
    try:
        yield
    except (EOFError, ConnectionError) as error:
        host.close()
        raise ModelHostError(
            "the model host ended before it answered",
            model=model,
            found=type(error).__name__,
            hint="the next request starts a new host; if it ran out of memory, "
            "run fewer models at once or use --model-host=off",
        ) from error
    except BlockingIOError:  # in the middle of a message
        pid = peer_pid(host.connection)
        host.close()
        raise stopped(model, pid) from None
    except BaseException:
        host.close()
        raise
