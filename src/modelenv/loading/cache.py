"""The loaded pipelines: one load per key, even if many threads or tasks request it at the same time."""

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
    """Identifies a load: two loads with the same model, task, source, folder and arguments share a pipeline."""

    ref: ModelRef
    task: str
    source: str
    root: str
    arguments: Hashable

    @classmethod
    def of(cls, ref: ModelRef, task: str, source: str, root: str, arguments: Mapping[str, Any]) -> PipelineKey:
        """Return the key. Containers are compared by content, and other arguments without a hash by identity."""
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
    """One load, running or done. Its `stages` show the progress, for the error of a caller whose deadline passes.

    The load runs on its own thread, so a caller's deadline holds even if the load hangs.
    """

    model: str
    forget: Callable[[Load], None]
    stages: Stages = field(default_factory=Stages)
    future: Future[Any] = field(default_factory=Future)
    used: float = 0.0
    _loaded: list[Any] = field(default_factory=list)  # the pipeline, once it is loaded

    def start(self, work: Callable[[Load], Any]) -> None:
        """Run `work` on a daemon thread, which ends with the process."""
        self.future.set_running_or_notify_cancel()
        threading.Thread(target=self._run, args=(work,), name=f"modelenv-load-{self.model}", daemon=True).start()

    def _run(self, work: Callable[[Load], Any]) -> None:
        try:
            self._loaded.append(work(self))
            self.future.set_result(self._loaded[0])
        except BaseException as error:  # noqa: BLE001 - passed on to the callers that wait
            self.forget(self)  # before the callers see the error, so that they can try again at once
            self.future.set_exception(error)

    def result(self, deadline: Deadline) -> Any:
        """Wait for the pipeline, at most until the deadline. Raises the error of the load."""
        while True:
            try:
                return self.future.result(timeout=deadline.patience)
            except TimeoutError:
                self._raise_if_ended(deadline)

    async def aresult(self, deadline: Deadline) -> Any:
        """Wait as `result` does, without blocking the event loop."""
        import asyncio  # a caller that awaits has imported it; for others it would take longer than this module

        while True:
            waiter = asyncio.shield(asyncio.wrap_future(self.future))
            try:
                return await asyncio.wait_for(waiter, timeout=deadline.patience)
            except TimeoutError:
                self._raise_if_ended(deadline)

    def _raise_if_ended(self, deadline: Deadline) -> None:
        """After a TimeoutError: raise it if it was the load's own error, or raise ours if the deadline has passed."""
        if self.future.done():
            self.future.result()
        elif not deadline.remaining:
            raise deadline.passed(self.model, self.stages.now, self.stages) from None

    def survives_fork(self) -> bool:
        """In a forked child: whether the pipeline is loaded. A load that was running ended with its thread."""
        if not self._loaded:
            return False
        self.future = Future()  # a thread of the parent might hold the lock of the old one
        self.future.set_result(self._loaded[0])
        return True


@dataclass(frozen=True)
class PipelineCache:
    """The loads of one manager, or of one test run, by key."""

    _loads: dict[PipelineKey, Load] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=forks.new_lock, repr=False)

    def __post_init__(self) -> None:
        forks.at_fork(self, PipelineCache._reset_in_child)

    def _reset_in_child(self) -> None:
        """In a forked child: keep the loaded pipelines, and forget the loads that were running."""
        for key, load in list(self._loads.items()):
            if not load.survives_fork():
                del self._loads[key]

    def get(self, key: PipelineKey, work: Callable[[Load], Any], deadline: Deadline) -> Any:
        """Return the pipeline for `key`, loading it with `work` if no other caller has, at most until the deadline.

        Raises:
            ModelLoadTimeoutError: The deadline passed. The load continues, and a later call can find its result.
            ModelEnvError: The load failed. It is forgotten, so a later call tries again.
        """
        while True:
            try:
                return self._join(key, work, deadline).result(deadline)
            except ModelLoadTimeoutError:
                if not deadline.remaining:  # else a load with a shorter deadline, which this call joined
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
        """Forget a load that failed, unless another load with the same key has replaced it."""
        with self._lock:
            if self._loads.get(key) is load:
                del self._loads[key]

    def forget(self, key: PipelineKey) -> None:
        """Forget the load for `key`, if it exists."""
        with self._lock:
            self._loads.pop(key, None)

    def keep_within(self, limit: int) -> None:
        """Forget the least recently used pipelines until the rest takes at most `limit` bytes. The last one stays.

        References to a forgotten pipeline stay valid. The next request for it loads it again.
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
        """Return a copy of the current loads, both running and done."""
        with self._lock:
            return dict(self._loads)
