"""Loaded pipelines: one load per key, however many threads or tasks ask at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modelenv import forks
from modelenv.deadlines import Deadline, Stages
from modelenv.errors import ModelLoadTimeoutError
from modelenv.references import ModelRef


@dataclass(frozen=True)
class PipelineKey:
    """What makes two loads the same: model, task, source, folder and arguments."""

    ref: ModelRef
    task: str
    source: str
    root: str
    arguments: Hashable

    @classmethod
    def of(cls, ref: ModelRef, task: str, source: str, root: str, arguments: Mapping[str, Any]) -> PipelineKey:
        """Return the key; arguments that cannot be hashed count by their content, else by identity."""
        return cls(ref, task, source, root, _hashable(arguments))


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), _hashable(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(_hashable, value))
    try:
        hash(value)
    except TypeError:
        return (type(value).__name__, id(value))
    return (type(value).__name__, value)


@dataclass(eq=False)
class Load:
    """One load under way or done; `stages` says what it is doing, for whoever waits too long.

    The load runs on a thread of its own, so that a caller's deadline holds whatever the load is stuck in.
    """

    model: str
    forget: Callable[[Load], None]
    stages: Stages = field(default_factory=Stages)
    future: Future[Any] = field(default_factory=Future)
    used: float = 0.0
    _loaded: list[Any] = field(default_factory=list)  # the pipeline, once there is one

    def start(self, work: Callable[[Load], Any]) -> None:
        """Run `work` on a daemon thread, which ends with the process."""
        self.future.set_running_or_notify_cancel()
        threading.Thread(target=self._run, args=(work,), name=f"modelenv-load-{self.model}", daemon=True).start()

    def _run(self, work: Callable[[Load], Any]) -> None:
        try:
            self._loaded.append(work(self))
            self.future.set_result(self._loaded[0])
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self.forget(self)  # before anybody hears of it, so that they may try again at once
            self.future.set_exception(error)

    def result(self, deadline: Deadline) -> Any:
        """Wait for the pipeline, at most until the deadline; raise what the load raised."""
        while True:
            try:
                return self.future.result(timeout=deadline.patience)
            except TimeoutError:
                self._raise_if_over(deadline)

    async def aresult(self, deadline: Deadline) -> Any:
        """Wait as `result` does, without blocking the event loop."""
        import asyncio  # who awaits this has it; all others pay for it more than for the rest of the module

        while True:
            waiter = asyncio.shield(asyncio.wrap_future(self.future))
            try:
                return await asyncio.wait_for(waiter, timeout=deadline.patience)
            except TimeoutError:
                self._raise_if_over(deadline)

    def _raise_if_over(self, deadline: Deadline) -> None:
        """After a wait that timed out: raise the load's own error, if that was one, or that the deadline passed."""
        if self.future.done():
            self.future.result()
        elif not deadline.remaining:
            raise deadline.passed(self.model, self.stages.now, self.stages) from None

    def begins_anew(self) -> bool:
        """In a forked child: whether the pipeline is there. A load under way ended with its thread."""
        if not self._loaded:
            return False
        self.future = Future()  # a lock of the old one may be held by that thread
        self.future.set_result(self._loaded[0])
        return True


@dataclass(frozen=True)
class PipelineCache:
    """The loads of one manager, or of one test run, by key."""

    _loads: dict[PipelineKey, Load] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=forks.new_lock, repr=False)

    def __post_init__(self) -> None:
        forks.at_fork(self, PipelineCache._forget_others)

    def _forget_others(self) -> None:
        """Keep what is loaded; the loads under way are the parent's."""
        for key, load in list(self._loads.items()):
            if not load.begins_anew():
                del self._loads[key]

    def get(self, key: PipelineKey, work: Callable[[Load], Any], deadline: Deadline) -> Any:
        """Return the pipeline for `key`, loaded with `work` if nobody has, at most until the deadline.

        Raises:
            ModelLoadTimeoutError: the deadline passed; the load may still end well, and a later call then finds it.
            ModelEnvError: the load failed; it is forgotten, so a later call tries again.
        """
        while True:
            try:
                return self._join(key, work, deadline).result(deadline)
            except ModelLoadTimeoutError:
                if not deadline.remaining:  # else it was the end of somebody else's load with a shorter deadline
                    raise

    async def aget(self, key: PipelineKey, work: Callable[[Load], Any], deadline: Deadline) -> Any:
        """Return the pipeline as `get` does, without blocking the event loop."""
        while True:
            try:
                return await self._join(key, work, deadline).aresult(deadline)
            except ModelLoadTimeoutError:
                if not deadline.remaining:
                    raise

    def _join(self, key: PipelineKey, work: Callable[[Load], Any], deadline: Deadline) -> Load:
        with self._lock:
            load = self._loads.get(key)
            if load is None:
                forget = partial(self._forget_failed, key)
                load = self._loads[key] = Load(key.ref.repo_id, forget, deadline.stages)
                load.start(work)
            load.used = time.monotonic()
            return load

    def _forget_failed(self, key: PipelineKey, load: Load) -> None:
        """Drop a load that failed; not another one, begun after this had been let go."""
        with self._lock:
            if self._loads.get(key) is load:
                del self._loads[key]

    def forget(self, key: PipelineKey) -> None:
        """Drop the load for `key`, if there is one."""
        with self._lock:
            self._loads.pop(key, None)

    def keep_within(self, limit: int) -> None:
        """Drop what was asked for longest ago until the pipelines take at most `limit` bytes; the last one stays.

        Who still has a pipeline keeps it; whoever asks for it again has it loaded anew.
        """
        with self._lock:
            done = [
                (load.used, key, load.future.result())
                for key, load in self._loads.items()
                if load.future.done() and load.future.exception() is None
            ]
        if len(done) < 2:
            return
        from modelenv.loading.build import pipeline_bytes

        sizes = {key: pipeline_bytes(pipeline) for _, key, pipeline in done}
        for _, key, _ in sorted(done, key=lambda each: each[0])[:-1]:
            if sum(sizes.values()) <= limit:
                break
            del sizes[key]
            self.forget(key)

    def loads(self) -> Mapping[PipelineKey, Load]:
        """Return the loads under way and done, as they are now."""
        with self._lock:
            return dict(self._loads)
