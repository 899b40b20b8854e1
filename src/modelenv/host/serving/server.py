"""The host's side: one process holds the pipelines, and answers each worker on a thread of its own."""

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
from modelenv.host.serving.model_cache import ModelCache, in_one_process
from modelenv.host.serving.preparation import Preparation
from modelenv.host.serving.response_cache import CacheKey, ResponseCache
from modelenv.host.serving.server_stream import RunningStream
from modelenv.loading.reports import Notice

_RELOAD_SECONDS = 300.0  # for a model that was unloaded and is needed by a call, which has no deadline


@dataclass(eq=False)
class Host:
    """Answers the requests of workers.

    Only one call computes at a time: pipelines cannot be called safely from two threads, and one model already uses
    every core. That also keeps the results equal to those of a local pipeline, bit by bit.

    Attributes:
        models: The cache of pipelines.
        answers: The cache of answers. None: every call is computed.
        stopping: Set when the host has to end.
        preparation: Fetches and loads models before they are requested.
    """

    models: ModelCache
    answers: ResponseCache | None = None
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
        """Answer one worker until it closes the connection."""
        with self._counting:
            self._connections += 1
        try:
            check_peer(connection)
            greet(connection)
            while True:
                self._answer(connection)
        except (EOFError, OSError, ModelHostError):
            return  # the worker ended, or belongs to another user
        finally:
            connection.close()
            with self._counting:
                self._connections -= 1

    def _answer(self, connection: Connection) -> None:
        """Wait for one message and answer it."""
        try:
            message = receive(connection)
        except UnreadableError as error:
            message = error
        if isinstance(message, Status):
            send(connection, self.status())  # does not count as use of the host
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
        except BaseException as error:  # noqa: BLE001 - the worker raises it
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
        key = None if self.answers is None else CacheKey.of(call)
        if self.answers is None or key is None:
            return self._computed(call)[0]
        cached = self.answers.find(key)
        if cached is not None:
            return Pickled(cached)
        answer, is_repeatable = self._computed(call)
        if not is_repeatable:
            return answer
        data = pickled(answer, CannotCross.result)
        self.answers.keep(key, data)
        return Pickled(data)

    def _computed(self, call: Call) -> tuple[object, bool]:
        """Return the answer to a call, and whether it can be cached: computed on a CPU, without random numbers."""
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
            return CannotCross("its result is an iterator"), False
        return Item(result, changes), is_repeatable

    def _notices(self) -> tuple[Notice, ...]:
        reused = {} if self.answers is None else self.answers.take_reused()
        return tuple(
            Notice(model, f"{counted(count, 'answer')} of earlier calls reused") for model, count in reused.items()
        )

    def status(self) -> HostStatus:
        """Return the status of this host."""
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
        """Whether a request is being answered."""
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
    """Answer each worker that connects, on a thread of its own, until the host stops."""
    while not host.stopping.is_set():
        try:
            connection = listener.accept()
        except OSError:
            break  # the listener was closed, because the host stops
        threading.Thread(target=host.serve, args=(connection,), daemon=True).start()
