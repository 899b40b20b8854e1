"""The worker's side: finds or starts the host, and sends it requests."""

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
from modelenv.host.messages.connection import HostConnection, exchange, hold
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

_HINT_FOLDER = "set TMPDIR to a folder that you can write to, or run without the host: --model-host=off"
_STARTS_HOST = "waiting for the model host to start"
_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_BUILD_SECONDS = 300.0  # if the caller has no deadline: the model is loaded again after a crash
_AGAIN_SECONDS = 0.01
_STARTS = 3  # of a host that is killed during its start; further attempts would only be killed as well


@dataclass(eq=False)
class HostClient:
    """Sends requests to the host of a folder, and starts the host if it is not running.

    All attributes but `folder` apply to a host that this client starts.

    Attributes:
        folder: The host's private folder. It identifies the host.
        watch: The host ends when this process ends. None: it watches no process.
        idle: The host ends after this many seconds without a request. None: never.
        memory: The limit in bytes for the models that the host holds. None: no limit.
        answers: The limit in bytes for cached answers. None: the host computes each call.
        removes: A folder that the host removes, with its own, when the watched process has ended.
    """

    folder: HostFolder
    watch: int | None = None
    idle: float | None = None
    memory: int | None = None
    answers: int | None = None
    removes: Path | None = None
    _of_thread: threading.local = field(default_factory=threading.local)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        at_fork(self, HostClient._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: forget the parent's connections, and the hosts that the parent started."""
        self._of_thread = threading.local()
        self._started = []

    def start(self) -> subprocess.Popen[bytes] | None:
        """Start a host without waiting for it. Returns None if one is already running, starting, or about to end.

        The client takes the host's lock before it starts the process, and passes the lock on to it. So there is
        never more than one host, and no process is started in vain.

        Raises:
            ModelHostError: The watched process has ended, or the process or its folder cannot be created.
        """
        if self.watch is not None and not is_running(self.watch):
            raise ModelHostError("the model host is not started again, because the test run has ended")
        try:
            self._make_folder()
            process = self._start_unlocked()
        except ConfigurationError as error:  # from `make_private`
            raise ModelHostError(
                "the model host's folder is not private",
                expected=error.expected,
                found=error.found,
                hint=_HINT_FOLDER,
            ) from error
        except OSError as error:
            raise ModelHostError(
                "the model host cannot be started", found=f"{type(error).__name__}: {error}", hint=_HINT_FOLDER
            ) from error
        if process is not None:
            self._started.append(process)
            # The host can outlive this client, and must not become a zombie of this process.
            threading.Thread(target=process.wait, name="modelenv-host", daemon=True).start()
        return process

    def _start_unlocked(self) -> subprocess.Popen[bytes] | None:
        with self.folder.lock.open("a") as lock:
            at_fork(lock, TextIOWrapper.close)  # otherwise a child would hold the lock until it ends
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            # -P: the current folder is not in its path, because a kept host also serves runs in other folders.
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
        """Send a request about a recipe's pipeline. The host loads the pipeline first if it does not hold it.

        Raises:
            ModelHostError: The host ended, or could not be started.
            CannotCrossError: The request or its answer cannot be sent, or cannot be read on the other side.
            Exception: The request raised it in the host. Its cause is the host's traceback.
        """
        host = self._connection()
        hold(host, recipe, deadline or Deadline(_BUILD_SECONDS))
        return exchange(host, message, recipe.model)

    def build(self, recipe: Recipe, deadline: Deadline) -> Built:
        """Make the host load the recipe's pipeline, unless it holds it. Returns whether it loaded it, and how long.

        Raises:
            ModelLoadTimeoutError: The deadline passed.
            CannotCrossError: The pipeline's arguments are of classes that the host does not know.
            ModelEnvError: The load failed.
        """
        try:
            with deadline.stages.doing(_STARTS_HOST):
                host = self._connection(deadline)
        except ModelHostError as error:
            if deadline.remaining:
                raise
            raise deadline.passed(recipe.model, _STARTS_HOST) from error
        return hold(host, recipe, deadline)

    def new_connection(self, recipe: Recipe) -> HostConnection:
        """Return a new connection to a host that holds the recipe's pipeline. Only the caller uses it."""
        host = HostConnection(self._connect(Deadline(_START_SECONDS)), self.folder.socket)
        try:
            hold(host, recipe, Deadline(_BUILD_SECONDS))
        except BaseException:
            host.close()
            raise
        return host

    def status(self) -> HostStatus | None:
        """Return the host's status, or None if no host is running. Never starts a host."""
        status: HostStatus | None = self._ask_running(Status())
        return status

    def stop(self) -> HostStatus | None:
        """Stop the host after its current requests. Returns its last status, or None if no host is running."""
        status: HostStatus | None = self._ask_running(Stop())
        return status

    def kill(self) -> None:
        """Kill the hosts that this client has started, in case one no longer responds."""
        for process in self._started:
            process.kill()  # has no effect if it has ended
        self.folder.remove_socket()

    def prepare(self, models: tuple[PlannedModel, ...], failures: str | None = None) -> None:
        """Make the host fetch and load models before they are requested. Returns at once.

        A host that was started in another folder or with other variables does not do so. It loads models when they
        are requested.
        """
        message = Prepare(models, failures, whereabouts(), self.memory)
        exchange(self._connection(), message, "the planned models")

    def take_reports(self) -> tuple[LoadReport | Notice, ...]:
        """Return the reports and notices since the last call. Empty if no host is running."""
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

    def _connection(self, deadline: Deadline | None = None) -> HostConnection:
        """Return this thread's connection. Connects again if the host at its other end has ended."""
        host: HostConnection | None = getattr(self._of_thread, "host", None)
        if host is None or host.connection.closed or has_hung_up(host.connection):
            connection = self._connect(deadline or Deadline(_START_SECONDS))
            host = self._of_thread.host = HostConnection(connection, self.folder.socket)
        return host

    def _connect(self, deadline: Deadline) -> Connection:
        """Return a new connection to the host. Starts the host if it is not running."""
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
                process = self.start()  # None: another process has started the host, and holds the lock
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
        if self.folder.path.is_relative_to(shared):  # other users can guess these names: none of them can own a part
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
