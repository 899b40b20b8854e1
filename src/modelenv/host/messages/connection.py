"""A worker's connection to the host, and how a question is asked over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import ModelHostError
from modelenv.host.messages.pickling import CannotCrossError, crossing
from modelenv.host.messages.protocol import Build, Built, CannotCross, Recipe
from modelenv.host.messages.remote_errors import Failure
from modelenv.host.messages.transport import UnreadableError, receive


@dataclass(eq=False)
class Line:
    """A connection to one host, and the recipes that this host is known to hold, or to load when it is asked."""

    connection: Connection
    held: set[Recipe] = field(default_factory=set)


def hold(line: Line, recipe: Recipe, deadline: Deadline) -> Built:
    """Have the host at the line's end hold the recipe's pipeline; raises as `HostClient.build`."""
    if recipe in line.held:
        return Built(fresh=False, seconds=0.0)
    built: Built = exchange(line.connection, Build(recipe, deadline.remaining), recipe.model, deadline)
    line.held.add(recipe)
    return built


def exchange(connection: Connection, message: object, model: str, deadline: Deadline | None = None) -> Any:
    """Send a message and return its answer. A connection whose answer was not taken is closed, lest it is the next's.

    Raises:
        ModelHostError: the host ended.
        ModelLoadTimeoutError: the deadline passed.
        CannotCrossError: the message cannot be sent, or understood there, or its answer cannot.
        Exception: what the question raised in the host, with the host's traceback as its cause.
    """
    data = crossing(message)
    with asking(connection, model):
        connection.send_bytes(data)
        if deadline is not None and not connection.poll(deadline.remaining + 0.1):
            raise deadline.passed(model, "waiting for the model host to load it")
        reply = received(connection)
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
def asking(connection: Connection, model: str) -> Iterator[None]:
    """Close the connection where a question and its answer are broken off, and say so if that is the host's end."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        connection.close()
        raise ModelHostError(
            "the model host ended while it was asked",
            model=model,
            found=type(error).__name__,
            hint="another host is started for the next question; if it ended for want of memory, "
            "run fewer models at once or use --model-host=off",
        ) from error
    except BaseException:
        connection.close()
        raise
