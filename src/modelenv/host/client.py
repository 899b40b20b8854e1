"""The worker's side: finds or starts the host, and asks it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import ModelHostError
from modelenv.files.disk import make_private
from modelenv.host.folder import HostFolder, hosts_folder
from modelenv.host.protocol import (
    Build,
    Built,
    EndOfItems,
    Failure,
    HostStatus,
    Item,
    NextItem,
    PlannedModel,
    Prepare,
    Recipe,
    Started,
    Status,
    Stop,
    Stream,
    TakeReports,
    check_peer,
    receive,
    send,
)
from modelenv.host.recipes import CannotCrossError
from modelenv.reports import LoadReport

_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_BUILD_SECONDS = 300.0  # where the caller has no deadline of its own: a model that is loaded again after a crash


@dataclass(eq=False)
class _Line:
    """One thread's connection to one host, and the recipes that this host is known to hold."""

    connection: Connection
    held: set[Recipe] = field(default_factory=set)


@dataclass(eq=False)
class HostClient:
    """Asks the host of a folder, and starts it if there is none.

    Attributes:
        folder: the host's private folder; the same folder is the same host.
        watch: the process with which a host that is started here ends; None: it ends by itself.
        idle: seconds without a question after which such a host ends; None: never.
    """

    folder: HostFolder
    watch: int | None = None
    idle: float | None = None
    _lines: threading.local = field(default_factory=threading.local)

    def start(self) -> subprocess.Popen[bytes]:
        """Start a host without waiting for it; where one runs already, the new one ends at once."""
        self._make_folder()
        command = [sys.executable, "-m", "modelenv.host", str(self.folder.path)]
        command += ["--watch", str(self.watch)] if self.watch is not None else []
        command += ["--idle", str(self.idle)] if self.idle is not None else []
        with self.folder.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # It may outlive this client, and must not stay a zombie of this process.
        threading.Thread(target=process.wait, name="modelenv-host", daemon=True).start()
        return process

    def ask(self, recipe: Recipe, message: object, deadline: Deadline | None = None) -> Any:
        """Ask a question about a recipe's pipeline, which the host loads first if it does not hold it.

        Raises:
            ModelHostError: the host ended, or could not be started.
            Exception: what the question raised in the host, with the host's traceback as its cause.
        """
        with self._line() as line:
            self._hold(line, recipe, deadline or Deadline(_BUILD_SECONDS))
            return _result(line.connection, message, recipe.model)

    def build(self, recipe: Recipe, deadline: Deadline) -> Built:
        """Have the host hold the recipe's pipeline; say whether this loaded it.

        Raises:
            ModelLoadTimeoutError: the deadline passed.
            ModelEnvError: the load failed.
        """
        with self._line(deadline) as line:
            return self._hold(line, recipe, deadline)

    def stream(self, recipe: Recipe, items: Iterator[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the pipeline over a stream of inputs, each taken when the host asks for it.

        Returns:
            What the pipeline returns: an iterator over the results, or all of them at once.
        """
        line = _Line(self._connect(Deadline(_START_SECONDS)))  # its own, since results come while others ask
        try:
            self._hold(line, recipe, Deadline(_BUILD_SECONDS))
            with _host_may_end(recipe.model):
                send(line.connection, Stream(recipe, kwargs))
            first = _next_answer(line.connection, items, recipe.model)
        except BaseException:
            line.connection.close()
            raise
        if isinstance(first, Started):
            return _results(line.connection, items, recipe.model)
        line.connection.close()
        return first.value

    def status(self) -> HostStatus | None:
        """Return what the host holds, or None where no host runs. Starts none."""
        status: HostStatus | None = self._ask_running(Status())
        return status

    def stop(self) -> HostStatus | None:
        """End the host; return what it held, or None where no host runs."""
        status: HostStatus | None = self._ask_running(Stop())
        return status

    def prepare(self, models: tuple[PlannedModel, ...], failures: str | None = None) -> None:
        """Have the host fetch and load models before anybody asks for them; returns at once."""
        with self._line() as line:
            _result(line.connection, Prepare(models, failures), "the planned models")

    def take_reports(self) -> tuple[LoadReport, ...]:
        """Return what was prepared since the last call; nothing where no host runs."""
        return self._ask_running(TakeReports()) or ()

    def _ask_running(self, message: object) -> Any:
        connection = self._try_to_connect()
        if connection is None:
            return None
        try:
            send(connection, message)
            if not connection.poll(_ANSWER_SECONDS):
                raise ModelHostError("the model host does not answer", found=self.folder.last_words())
            return receive(connection)
        except (EOFError, ConnectionError):
            return None
        finally:
            connection.close()

    def _hold(self, line: _Line, recipe: Recipe, deadline: Deadline) -> Built:
        if recipe in line.held:
            return Built(fresh=False, seconds=0.0)
        with _host_may_end(recipe.model):
            send(line.connection, Build(recipe, deadline.remaining))
            if not line.connection.poll(deadline.remaining + 0.1):
                line.connection.close()  # its late answer must not be taken for the next one's
                raise deadline.passed(recipe.model, "waiting for the model host to load it")
            reply = receive(line.connection)
        if isinstance(reply, Failure):
            reply.raise_here()
        line.held.add(recipe)
        built: Built = reply
        return built

    @contextmanager
    def _line(self, deadline: Deadline | None = None) -> Iterator[_Line]:
        line: _Line | None = getattr(self._lines, "line", None)
        if line is None or line.connection.closed or getattr(self._lines, "pid", None) != os.getpid():
            line = _Line(self._connect(deadline or Deadline(_START_SECONDS)))
            self._lines.line, self._lines.pid = line, os.getpid()
        try:
            yield line
        except (ModelHostError, KeyboardInterrupt):
            line.connection.close()  # the next question finds another host, or the same one anew
            raise

    def _connect(self, deadline: Deadline) -> Connection:
        """Return a connection to the host, which is started if there is none."""
        from filelock import FileLock, Timeout

        connection = self._try_to_connect()
        if connection is not None:
            return connection
        self._make_folder()
        try:
            with FileLock(self.folder.starting).acquire(timeout=deadline.remaining):
                process = None
                while deadline.remaining:
                    connection = self._try_to_connect()
                    if connection is not None:
                        return connection
                    if process is None:
                        process = self.start()
                    elif process.poll():
                        break
                    time.sleep(0.01)
        except Timeout:
            pass
        raise ModelHostError(
            "the model host did not start",
            found=self.folder.last_words(),
            hint="run without it: --model-host=off",
        )

    def _make_folder(self) -> None:
        shared = hosts_folder()
        if self.folder.path.is_relative_to(shared):  # a name that others know: no part of it may be theirs
            make_private(shared.parent)
            make_private(shared)
        make_private(self.folder.path)
        if self.folder.socket.parent != self.folder.path:
            make_private(self.folder.socket.parent.parent)
            make_private(self.folder.socket.parent)

    def _try_to_connect(self) -> Connection | None:
        try:
            connection = Client(str(self.folder.socket), family="AF_UNIX")
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise ModelHostError(
                "the model host cannot be reached",
                found=f"{self.folder.socket}: {error}",
                hint="run without it: --model-host=off",
            ) from error
        check_peer(connection)
        return connection


def _result(connection: Connection, message: object, model: str) -> Any:
    try:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise CannotCrossError(repr(error)) from error
    with _host_may_end(model):
        connection.send_bytes(data)
        reply = receive(connection)
    if isinstance(reply, Failure):
        reply.raise_here()
    return reply


def _results(connection: Connection, items: Iterator[Any], model: str) -> Iterator[Any]:
    try:
        while not isinstance(answer := _next_answer(connection, items, model), EndOfItems):
            yield answer.value
    finally:
        connection.close()


def _next_answer(connection: Connection, items: Iterator[Any], model: str) -> Any:
    """Return the host's next message that is not a question for another item."""
    while True:
        with _host_may_end(model):
            message = receive(connection)
        if isinstance(message, Failure):
            message.raise_here()
        if not isinstance(message, NextItem):
            return message
        answer = _next_item(items)
        with _host_may_end(model):
            send(connection, answer)


def _next_item(items: Iterator[Any]) -> object:
    try:
        return Item(next(items))
    except StopIteration:
        return EndOfItems()
    except Exception as error:  # noqa: BLE001 - it comes back through the host, as it would through a local pipeline
        return Failure.of(error)


@contextmanager
def _host_may_end(model: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError, BrokenPipeError) as error:
        if isinstance(error, ModelHostError):
            raise
        raise ModelHostError(
            "the model host ended while it was asked",
            model=model,
            found=type(error).__name__,
            hint="another host is started for the next question; if it ended for want of memory, "
            "run fewer models at once or use --model-host=off",
        ) from error
