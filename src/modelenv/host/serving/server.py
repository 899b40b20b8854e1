"""The host's side: one process that holds the pipelines and answers every worker, each on a thread of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener
from typing import Any

from modelenv.amounts import counted
from modelenv.deadlines import IMPORT_SECONDS, Deadline
from modelenv.errors import ModelHostError
from modelenv.host.messages.call_context import Turn, random_state
from modelenv.host.messages.protocol import (
    AwaitLibraries,
    Build,
    Call,
    CannotCross,
    Get,
    HostStatus,
    Item,
    Plain,
    Prepare,
    Reachable,
    Status,
    Stop,
    Stream,
    TakeReports,
    follow,
    is_plain,
)
from modelenv.host.messages.remote_errors import Failure
from modelenv.host.messages.transport import Pickled, UnreadableError, check_peer, greet, pickled, receive, send
from modelenv.host.serving.model_cache import HeldModels, in_one_process
from modelenv.host.serving.preparation import Preparation
from modelenv.host.serving.response_cache import Answers, Question
from modelenv.host.serving.server_stream import RunningStream
from modelenv.loading.reports import Notice

_RELOAD_SECONDS = 300.0  # for a model that was unloaded, and is asked for again by a call, which has no deadline


@dataclass(eq=False)
class Host:
    """The answers to what workers ask.

    Attributes:
        models: the pipelines.
        answers: those that are given again; None: every call is computed.
        stopping: set when the host is to end.
        preparation: fetches and loads models before anybody asks for them.

    Pipelines are not safe to call from two threads, and a model's threads already use every core: so one call
    computes at a time. That also keeps the results equal to those of a local pipeline, bit by bit.
    """

    models: HeldModels
    answers: Answers | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    preparation: Preparation = field(init=False)
    _computing: threading.Lock = field(default_factory=threading.Lock)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _busy: int = 0
    _connections: int = 0
    _idle_since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.preparation = Preparation(self.models)

    def serve(self, connection: Connection) -> None:
        """Answer one worker until it hangs up."""
        with self._counting:
            self._connections += 1
        try:
            check_peer(connection)
            greet(connection)
            while True:
                self._answer(connection)
        except (EOFError, OSError, ModelHostError):
            return  # the worker ended, or was not ours
        finally:
            connection.close()
            with self._counting:
                self._connections -= 1

    def _answer(self, connection: Connection) -> None:
        """Wait for one message, and answer it."""
        try:
            message = receive(connection)
        except UnreadableError as error:
            message = error
        if isinstance(message, Status):
            send(connection, self.status())  # who looks at a host does not use it
            return
        with self._counting:
            self._busy += 1
        try:
            send(connection, self._reply_or_failure(connection, message), CannotCross.result)
        finally:
            with self._counting:
                self._busy -= 1
                self._idle_since = time.monotonic()

    def _reply_or_failure(self, connection: Connection, message: Any) -> object:
        try:
            return self._reply(connection, message)
        except UnreadableError as error:
            return CannotCross(str(error))
        except BaseException as error:  # noqa: BLE001 - it is raised where the question came from
            return Failure.of(error)

    def _reply(self, connection: Connection, message: Any) -> object:
        match message:
            case Call():
                return self._call(message)
            case Get(recipe, path):
                with self.models.using(recipe, Deadline(_RELOAD_SECONDS)) as pipeline:
                    return _attribute(follow(pipeline, path))
            case Stream(recipe, path):
                with self.models.using(recipe, Deadline(_RELOAD_SECONDS)) as pipeline:
                    return RunningStream(connection, self._computing, message).run(follow(pipeline, path))
            case Build(recipe, seconds):
                return self.models.build(recipe, Deadline(seconds))
            case AwaitLibraries():
                return Plain(self.models.libraries.wait(IMPORT_SECONDS))
            case Prepare():
                self.models.limit(message.memory)
                self.preparation.begin(message)
                return self.status()
            case TakeReports():
                return self.preparation.take_reports() + self._notices()
            case Stop():
                self.stopping.set()
                return self.status()
            case UnreadableError():
                return CannotCross(str(message))
        raise ModelHostError("the host does not know this message", found=repr(message))

    def _call(self, call: Call) -> object:
        question = None if self.answers is None else Question.of(call)
        if self.answers is None or question is None:
            return self._computed(call)[0]
        known = self.answers.find(question)
        if known is not None:
            return Pickled(known)
        answer, is_repeatable = self._computed(call)
        if not is_repeatable:
            return answer
        data = pickled(answer, CannotCross.result)
        self.answers.keep(question, data)
        return Pickled(data)

    def _computed(self, call: Call) -> tuple[object, bool]:
        """Return the answer to a call, and whether an equal call has the same: on a CPU, without random numbers."""
        turn = Turn(self._computing, call.surroundings)
        with self.models.using(call.recipe, Deadline(_RELOAD_SECONDS)) as pipeline:
            target = follow(pipeline, call.path)
            turn.begin()
            try:
                before = None if self.answers is None else random_state()
                result = target(*call.args, **in_one_process(call.kwargs))
                is_repeatable = before is not None and pipeline.device.type == "cpu" and random_state() == before
            finally:
                changes = turn.end()
        if isinstance(result, Iterator):
            return CannotCross("its results come one by one"), False
        return Item(result, changes), is_repeatable

    def _notices(self) -> tuple[Notice, ...]:
        reused = {} if self.answers is None else self.answers.take_reused()
        return tuple(
            Notice(model, f"{counted(count, 'answer')} of earlier calls reused") for model, count in reused.items()
        )

    def status(self) -> HostStatus:
        """Return what this host holds."""
        models = self.models
        with self._counting:
            idle = 0.0 if self._busy else time.monotonic() - self._idle_since
        return HostStatus(
            pid=os.getpid(),
            models=models.names,
            idle_seconds=idle,
            threads=threading.active_count(),
            bytes=models.bytes,
            memory=models.memory,
            loads=models.loads,
            unloads=models.unloads,
        )

    @property
    def is_answering(self) -> bool:
        """Whether a question is being answered."""
        with self._counting:
            return self._busy > 0

    @property
    def is_connected(self) -> bool:
        """Whether a worker is connected."""
        with self._counting:
            return self._connections > 0


def _attribute(value: Any) -> Plain | Reachable:
    if is_plain(value):
        return Plain(value)
    return Reachable(callable(value), type(value).__module__, type(value).__qualname__)


def accept_forever(listener: Listener, host: Host) -> None:
    """Answer every worker that connects, each on a thread, until the host stops."""
    while not host.stopping.is_set():
        try:
            connection = listener.accept()
        except OSError:
            break  # the listener was closed: the host stops
        threading.Thread(target=host.serve, args=(connection,), daemon=True).start()
