"""The worker's side: finds or starts the host, and asks it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from io import TextIOWrapper
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError, ModelHostError
from modelenv.files.disk import make_private
from modelenv.forks import at_fork
from modelenv.host.folder import HostFolder, hosts_folder, whereabouts
from modelenv.host.messages.connection import Line, exchange, hold
from modelenv.host.messages.protocol import (
    Built,
    HostStatus,
    PlannedModel,
    Prepare,
    Recipe,
    Status,
    Stop,
    TakeReports,
)
from modelenv.host.messages.transport import connect, has_hung_up, receive, send
from modelenv.host.processes import is_running
from modelenv.loading.reports import LoadReport, Notice

_HINT_FOLDER = "set TMPDIR to a folder that this user may write; or run without the host: --model-host=off"
_STARTS_HOST = "waiting for the model host to start"
_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_BUILD_SECONDS = 300.0  # where the caller has no deadline of its own: a model that is loaded again after a crash
_AGAIN_SECONDS = 0.01
_STARTS = 3  # of a host that is killed while it starts; more would only be killed again


@dataclass(eq=False)
class HostClient:
    """Asks the host of a folder, and starts it if there is none.

    Attributes:
        folder: the host's private folder; the same folder is the same host.
        watch: the process with which a host that is started here ends; None: it ends by itself.
        idle: seconds without a question after which such a host ends; None: never.
        memory: bytes of models that such a host holds at most; None: there is no limit.
        answers: bytes of answers that such a host remembers at most, to give them again; None: it computes each call.
        removes: a folder that such a host removes when the watched process has ended, beside its own.
    """

    folder: HostFolder
    watch: int | None = None
    idle: float | None = None
    memory: int | None = None
    answers: int | None = None
    removes: Path | None = None
    _lines: threading.local = field(default_factory=threading.local)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        at_fork(self, HostClient._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: forget the parent's connections, and the hosts that the parent started."""
        self._lines = threading.local()
        self._started = []

    def start(self) -> subprocess.Popen[bytes] | None:
        """Start a host without waiting for it; None where one is there already, or starts, or is about to end.

        Whoever starts a host takes its lock and hands it down. So there is never more than one, and nobody starts a
        process only to learn that there is one.

        Raises:
            ModelHostError: the watched process has ended, or no process or folder can be made here.
        """
        if self.watch is not None and not is_running(self.watch):
            raise ModelHostError("there is no model host any more: the run that it served has ended")
        try:
            self._make_folder()
            process = self._start_unlocked()
        except ConfigurationError as error:  # of `make_private`
            raise ModelHostError(
                "the model host has no private folder", expected=error.expected, found=error.found, hint=_HINT_FOLDER
            ) from error
        except OSError as error:
            raise ModelHostError(
                "the model host cannot be started", found=f"{type(error).__name__}: {error}", hint=_HINT_FOLDER
            ) from error
        if process is not None:
            self._started.append(process)
            # It may outlive this client, and must not stay a zombie of this process.
            threading.Thread(target=process.wait, name="modelenv-host", daemon=True).start()
        return process

    def _start_unlocked(self) -> subprocess.Popen[bytes] | None:
        with self.folder.lock.open("a") as lock:
            at_fork(lock, TextIOWrapper.close)  # else a child holds the lock for as long as it lives
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            # Without the current folder in its path (-P): a host that is kept serves runs in other folders too.
            command = [sys.executable, "-P", "-m", "modelenv.host", str(self.folder.path)]
            command += ["--lock", str(lock.fileno())]
            options = {"watch": self.watch, "idle": self.idle, "memory": self.memory, "answers": self.answers}
            for name, value in {**options, "remove": self.removes}.items():
                command += [] if value is None else [f"--{name}", str(value)]
            log = os.open(self.folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                return subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
            finally:
                os.close(log)

    def ask(self, recipe: Recipe, message: object, deadline: Deadline | None = None) -> Any:
        """Ask a question about a recipe's pipeline, which the host loads first if it does not hold it.

        Raises:
            ModelHostError: the host ended, or could not be started.
            CannotCrossError: the question cannot be sent, or understood there, or its answer cannot.
            Exception: what the question raised in the host, with the host's traceback as its cause.
        """
        line = self._line()
        hold(line, recipe, deadline or Deadline(_BUILD_SECONDS))
        return exchange(line, message, recipe.model)

    def build(self, recipe: Recipe, deadline: Deadline) -> Built:
        """Have the host hold the recipe's pipeline; say whether this loaded it.

        Raises:
            ModelLoadTimeoutError: the deadline passed.
            CannotCrossError: the pipeline's arguments are of classes that the host does not know.
            ModelEnvError: the load failed.
        """
        try:
            with deadline.stages.doing(_STARTS_HOST):
                line = self._line(deadline)
        except ModelHostError as error:
            if deadline.remaining:
                raise
            raise deadline.passed(recipe.model, _STARTS_HOST) from error
        return hold(line, recipe, deadline)

    def own_line(self, recipe: Recipe) -> Line:
        """Return a new connection to a host that holds the recipe's pipeline, for one user alone."""
        line = Line(self._connect(Deadline(_START_SECONDS)), self.folder.socket)
        try:
            hold(line, recipe, Deadline(_BUILD_SECONDS))
        except BaseException:
            line.close()
            raise
        return line

    def status(self) -> HostStatus | None:
        """Return what the host holds, or None where no host runs. Starts none."""
        status: HostStatus | None = self._ask_running(Status())
        return status

    def stop(self) -> HostStatus | None:
        """End the host once it has answered what it was asked; return what it held, or None where no host runs."""
        status: HostStatus | None = self._ask_running(Stop())
        return status

    def kill(self) -> None:
        """Kill the hosts that were started here and still run: one may not answer any more."""
        for process in self._started:
            process.kill()  # does nothing to one that has ended
        self.folder.remove_socket()

    def prepare(self, models: tuple[PlannedModel, ...], failures: str | None = None) -> None:
        """Have the host fetch and load models before anybody asks for them; returns at once.

        A host that was started elsewhere, or with other variables, leaves it to those who ask.
        """
        message = Prepare(models, failures, whereabouts(), self.memory)
        exchange(self._line(), message, "the planned models")

    def take_reports(self) -> tuple[LoadReport | Notice, ...]:
        """Return the reports and notices since the last call. Empty if no host runs."""
        return self._ask_running(TakeReports()) or ()

    def _ask_running(self, message: object) -> Any:
        deadline = Deadline(_ANSWER_SECONDS)
        connection = self._try_to_connect(deadline)
        if connection is None:
            return None
        try:
            send(connection, message)
            if not connection.poll(deadline.remaining):
                raise self._no_answer()
            return receive(connection)
        except (EOFError, ConnectionError):
            return None
        except BlockingIOError:  # in the middle of a message
            raise self._no_answer() from None
        finally:
            connection.close()

    def _line(self, deadline: Deadline | None = None) -> Line:
        """Return this thread's connection, which is made anew where the host it led to has ended."""
        line: Line | None = getattr(self._lines, "line", None)
        if line is None or line.connection.closed or has_hung_up(line.connection):
            line = self._lines.line = Line(self._connect(deadline or Deadline(_START_SECONDS)), self.folder.socket)
        return line

    def _connect(self, deadline: Deadline) -> Connection:
        """Return a connection to the host, which is started if there is none."""
        process, starts, code = None, 0, None
        while True:
            connection = self._try_to_connect(deadline)
            if connection is not None:
                return connection
            code = process.poll() if process is not None else None
            was_killed = code is not None and code < 0
            if not deadline.remaining or (code is not None and not (was_killed and starts < _STARTS)):
                break
            if process is None or was_killed:
                process = self.start()  # or somebody else has, and holds the lock
                starts += process is not None
            time.sleep(_AGAIN_SECONDS)
        ended = "" if code is None else f"it ended with {code}: "
        raise ModelHostError(
            "the model host did not start",
            found=f"{ended}{self.folder.last_words()}",
            hint="run without it: --model-host=off",
        )

    def _make_folder(self) -> None:
        shared = hosts_folder()
        if self.folder.path.is_relative_to(shared):  # a name that others know: no part of it may be theirs
            make_private(shared.parent)
            make_private(shared)
        make_private(self.folder.path)

    def _try_to_connect(self, deadline: Deadline) -> Connection | None:
        try:
            return connect(self.folder.socket, deadline)
        except ModelHostError:
            raise
        except TimeoutError:
            raise self._no_answer() from None
        except OSError as error:
            raise ModelHostError(
                "the model host cannot be reached",
                found=f"{self.folder.socket}: {error}",
                hint="run without it: --model-host=off",
            ) from error

    def _no_answer(self) -> ModelHostError:
        return ModelHostError("the model host does not answer", found=self.folder.last_words())
