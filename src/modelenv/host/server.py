"""The host's side: one process that holds the pipelines and answers every worker, each on a thread of its own."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import ModelHostError
from modelenv.host.preparation import Preparation
from modelenv.host.protocol import (
    Build,
    Built,
    Call,
    EndOfItems,
    Failure,
    Get,
    HostStatus,
    Item,
    NextItem,
    Plain,
    Prepare,
    Reachable,
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
from modelenv.loading import load_pipeline

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


@dataclass(eq=False)
class _Slot:
    """One model: its pipeline once it is loaded, and the lock that lets one caller at a time load it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pipeline: Any = None


@dataclass(eq=False)
class Host:
    """The pipelines of a host, and the answers to what workers ask.

    Attributes:
        stopping: set when the host is to end.
        preparation: fetches and loads models before anybody asks for them.

    Pipelines are not safe to call from two threads, and a model's threads already use every core: so one call
    computes at a time. That also keeps the results equal to those of a local pipeline, bit by bit.
    """

    _slots: dict[Recipe, _Slot] = field(default_factory=dict)
    _slots_lock: threading.Lock = field(default_factory=threading.Lock)
    _computing: threading.Lock = field(default_factory=threading.Lock)
    _busy: int = 0
    _idle_since: float = field(default_factory=time.monotonic)
    stopping: threading.Event = field(default_factory=threading.Event)
    preparation: Preparation = field(init=False)

    def __post_init__(self) -> None:
        self.preparation = Preparation(self.build)

    def serve(self, connection: Connection) -> None:
        """Answer one worker until it hangs up."""
        try:
            check_peer(connection)
            while True:
                self._answer(connection, receive(connection))
        except (EOFError, OSError, ModelHostError):
            return  # the worker ended, or was not ours
        finally:
            connection.close()

    def _answer(self, connection: Connection, message: Any) -> None:
        with self._slots_lock:
            self._busy += 1
        try:
            reply = self._reply(connection, message)
        except Exception as error:  # noqa: BLE001 - it is raised where the question came from
            reply = Failure.of(error)
        finally:
            with self._slots_lock:
                self._busy -= 1
                self._idle_since = time.monotonic()
        send(connection, _sendable(reply))

    def _reply(self, connection: Connection, message: Any) -> Any:
        match message:
            case Build(recipe, seconds):
                return self.build(recipe, Deadline(seconds))
            case Call(recipe, path, args, kwargs):
                target = _follow(self._pipeline(recipe), path)
                with self._computing:
                    return Item(_settled(target(*args, **kwargs)))
            case Get(recipe, path):
                value = _follow(self._pipeline(recipe), path)
                return Plain(value) if _is_plain(value) else Reachable(callable(value))
            case Stream(recipe, kwargs):
                return self._stream(connection, recipe, kwargs)
            case Prepare(models, failures):
                self.preparation.begin(models, None if failures is None else Path(failures))
                return self.status()
            case TakeReports():
                return self.preparation.take_reports()
            case Status():
                return self.status()
            case Stop():
                self.stopping.set()
                return self.status()
        raise ModelHostError("the host does not know this message", found=repr(message))

    def build(self, recipe: Recipe, deadline: Deadline) -> Built:
        """Hold the recipe's pipeline; whoever asks for it meanwhile waits. Raises as `load_pipeline`."""
        with self._slots_lock:
            slot = self._slots.setdefault(recipe, _Slot())
        if not slot.lock.acquire(timeout=deadline.remaining):
            raise deadline.passed(recipe.model, "waiting for the host to load it")
        try:
            if slot.pipeline is not None:
                return Built(fresh=False, seconds=0.0)
            started = time.monotonic()
            slot.pipeline = load_pipeline(
                Path(recipe.folder),
                recipe.task,
                pickle.loads(recipe.arguments),  # noqa: S301 - from our own user, checked on connecting
                model=recipe.model,
                device=recipe.device,
                trust_remote_code=recipe.trust_remote_code,
                deadline=deadline,
            )
            return Built(fresh=True, seconds=time.monotonic() - started)
        finally:
            slot.lock.release()

    def _pipeline(self, recipe: Recipe) -> Any:
        slot = self._slots.get(recipe)
        if slot is None or slot.pipeline is None:
            raise ModelHostError("the host does not hold this model", model=recipe.model)
        return slot.pipeline

    def _stream(self, connection: Connection, recipe: Recipe, kwargs: Any) -> Any:
        """Run over a stream; answer with all of it at once where the pipeline does, else result by result."""
        pipeline = self._pipeline(recipe)
        with self._computing:
            results = pipeline(self._items(connection), **kwargs)  # takes the first item already
        if isinstance(results, list):
            return Item(results)
        send(connection, Started())
        results = iter(results)
        while True:
            with self._computing:
                try:
                    result = next(results)
                except StopIteration:
                    return EndOfItems()
            send(connection, _sendable(Item(result)))

    def _items(self, connection: Connection) -> Iterator[Any]:
        """Yield the worker's items; runs inside the pipeline, on the thread that computes."""
        while True:
            # The worker may need this host to make its next item, so let go of it meanwhile.
            self._computing.release()
            try:
                send(connection, NextItem())
                message = receive(connection)
            finally:
                self._computing.acquire()
            if isinstance(message, EndOfItems):
                return
            if isinstance(message, Failure):
                message.raise_here()
            yield message.value

    def status(self) -> HostStatus:
        """Return what this host holds."""
        with self._slots_lock:
            models = tuple(f"{recipe.model} ({recipe.task})" for recipe, slot in self._slots.items() if slot.pipeline)
            idle = 0.0 if self._busy else time.monotonic() - self._idle_since
        return HostStatus(os.getpid(), models, idle, threading.active_count())


def _follow(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = getattr(value, name)
    return value


def _is_plain(value: Any) -> bool:
    """Whether a value is made of builtin types alone, so that a copy of it is as good as itself."""
    if type(value) in _PLAIN:
        return True
    if type(value) in (list, tuple, set, frozenset):
        return all(_is_plain(item) for item in value)
    return type(value) is dict and all(_is_plain(key) and _is_plain(item) for key, item in value.items())


def _settled(value: Any) -> Any:
    """A result that comes bit by bit is computed here, where the model is."""
    return list(value) if isinstance(value, Iterator) else value


def _sendable(reply: Any) -> Any:
    try:
        pickle.dumps(reply)
    except Exception as error:  # noqa: BLE001 - whatever cannot cross is an answer of its own
        return Failure.of(ModelHostError("the result cannot cross from the host to this process", found=repr(error)))
    return reply


def accept_forever(listener: Listener, host: Host) -> None:
    """Answer every worker that connects, each on a thread, until the host stops."""
    while not host.stopping.is_set():
        try:
            connection = listener.accept()
        except OSError:
            break  # the listener was closed: the host stops
        threading.Thread(target=host.serve, args=(connection,), daemon=True).start()
