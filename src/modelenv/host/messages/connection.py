"""A worker's connection to the host, and how a question is asked over it."""

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
_HOST_SAYS_SECONDS = 1.0  # for the host's own word on a load whose deadline passed


@dataclass(eq=False)
class Line:
    """A connection to one host.

    Attributes:
        connection: the connection.
        address: the host's socket.
        held: the recipes that this host is known to hold, or to load when it is asked.
        has_libraries: whether the host is known to have imported torch and transformers.
    """

    connection: Connection
    address: Path
    held: set[Recipe] = field(default_factory=set)
    has_libraries: bool = False

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    def send(self, data: bytes) -> None:
        """Send a pickled message. Only within `asking`."""
        self.connection.send_bytes(data)

    def receive(self, model: str) -> Any:
        """Wait for the host's next message, and return it; what cannot be read here is `CannotCross`.

        Only within `asking`.
        """
        is_answered(self.connection, self.address, model)
        return received(self.connection)


def hold(line: Line, recipe: Recipe, deadline: Deadline) -> Built:
    """Have the host at the line's end hold the recipe's pipeline; raises as `HostClient.build`."""
    if recipe in line.held:
        return Built(fresh=False, seconds=0.0)
    if not line.has_libraries:
        with imports_not_counted(), deadline.stages.doing(_IMPORTS):
            exchange(line, AwaitLibraries(), recipe.model)
        line.has_libraries = True
    try:
        with deadline.stages.doing(_LOADS):
            built: Built = exchange(line, Build(recipe, deadline.remaining), recipe.model, deadline)
    except ModelLoadTimeoutError as error:
        if isinstance(error.__cause__, HostTraceback):  # the host's own, which knows only what happens there
            raise deadline.passed(recipe.model, f"{_LOADS}, which says: {error.found}") from error
        raise
    line.held.add(recipe)
    return built


def exchange(line: Line, message: object, model: str, deadline: Deadline | None = None) -> Any:
    """Send a message and return its answer. If we stop waiting, the line is closed: the late answer is nobody's.

    Raises:
        ModelHostError: the host ended, or is stopped.
        ModelLoadTimeoutError: the deadline passed.
        CannotCrossError: the message cannot be sent, or understood there, or its answer cannot.
        Exception: what the question raised in the host, with the host's traceback as its cause.
    """
    data = crossing(message)
    with asking(line, model):
        line.send(data)
        answered = is_answered(line.connection, line.address, model, deadline)
        if deadline is not None and not answered and not line.connection.poll(_HOST_SAYS_SECONDS):
            raise deadline.passed(model, _LOADS)
        reply = received(line.connection)
    if isinstance(reply, Failure):
        reply.raise_here()
    if isinstance(reply, CannotCross):
        raise CannotCrossError(reply.reason)
    return reply


def received(connection: Connection) -> Any:
    """Return the host's next message; what cannot be read here is `CannotCross`."""
    try:
        return receive(connection)
    except UnreadableError as error:
        return CannotCross(f"its result: {error}")


@contextmanager
def asking(line: Line, model: str) -> Iterator[None]:
    """Close the line where a question and its answer are broken off, and say so if that is the host's end."""
    if line.connection.closed:
        raise ModelHostError(
            "the connection to the model host is closed",
            model=model,
            found="a stream of results that was broken off, or that another process began before it was forked",
            hint="call the pipeline again in this process",
        )
    try:
        yield
    except (EOFError, ConnectionError) as error:
        line.close()
        raise ModelHostError(
            "the model host ended while it was asked",
            model=model,
            found=type(error).__name__,
            hint="another host is started for the next question; if it ended for want of memory, "
            "run fewer models at once or use --model-host=off",
        ) from error
    except BlockingIOError:  # in the middle of a message
        pid = peer_pid(line.connection)
        line.close()
        raise stopped(model, pid) from None
    except BaseException:
        line.close()
        raise
