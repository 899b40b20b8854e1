"""The pipelines that a host holds, within a limit of memory: what was not used for longest is unloaded first."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelenv.deadlines import IMPORTING, Deadline
from modelenv.host.messages.protocol import Built, Recipe
from modelenv.host.messages.transport import unpickled
from modelenv.loading.build import REST_OF_A_PIPELINE, load_pipeline, pipeline_bytes
from modelenv.loading.spec import ModelSpec

_WEIGHTS = (".safetensors", ".bin", ".pt")


@dataclass(eq=False)
class _Slot:
    """One pipeline once it is loaded, and the lock that lets one caller at a time load it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pipeline: Any = None
    bytes: int = 0
    users: int = 0
    used: float = 0.0


@dataclass(eq=False)
class HeldModels:
    """Loads each recipe's pipeline once, for all threads.

    Attributes:
        libraries: set once torch and transformers are imported, which happens on one thread: two that import them at
            the same time can deadlock.
        memory: the limit in bytes for what is held; None: there is none. A pipeline counts with the bytes of its
            parameters and buffers, whether they are mapped from its files or not, and 4 MiB for the rest. What is in
            use is never unloaded, nor what was used last: models in use at the same time may exceed the limit until
            the first of them is not, and one larger than the limit is held alone.
        loads: how many pipelines were loaded.
        unloads: how many were unloaded to keep the limit.
    """

    libraries: threading.Event
    memory: int | None = None
    loads: int = 0
    unloads: int = 0
    _slots: dict[Recipe, _Slot] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> tuple[str, ...]:
        """Each model that is held, with its task."""
        with self._lock:
            return tuple(
                f"{recipe.model} ({recipe.task})" for recipe, slot in self._slots.items() if slot.pipeline is not None
            )

    @property
    def bytes(self) -> int:
        """How much is held."""
        with self._lock:
            return self._bytes()

    def build(self, recipe: Recipe, deadline: Deadline) -> Built:
        """Hold the recipe's pipeline; say whether this loaded it. Raises as `using`."""
        started = time.monotonic()
        with self._slot(recipe) as slot:
            fresh = self._load(slot, recipe, deadline)
        return Built(fresh, time.monotonic() - started if fresh else 0.0)

    @contextmanager
    def using(self, recipe: Recipe, deadline: Deadline) -> Iterator[Any]:
        """Give the recipe's pipeline, which is not unloaded meanwhile; loaded now if it is not held.

        Raises:
            ModelLoadTimeoutError: the deadline passed.
            ModelEnvError: as `load_pipeline`.
            UnreadableError: the recipe's arguments are of classes that are unknown here.
        """
        with self._slot(recipe) as slot:
            self._load(slot, recipe, deadline)
            yield slot.pipeline

    def limit(self, memory: int | None) -> None:
        """Keep to another limit from now on."""
        self.memory = memory
        self._make_room()

    def has_room(self, folder: Path) -> bool:
        """Whether the folder's model can be held without unloading another, as far as its files tell."""
        return self.memory is None or self.bytes + _expected_bytes(folder) <= self.memory

    @contextmanager
    def _slot(self, recipe: Recipe) -> Iterator[_Slot]:
        with self._lock:
            slot = self._slots.setdefault(recipe, _Slot())
            slot.users += 1
        try:
            yield slot
        finally:
            with self._lock:
                slot.users -= 1
                slot.used = time.monotonic()
                if slot.pipeline is None and not slot.users:
                    del self._slots[recipe]  # its load failed
            self._make_room(keep=slot)  # it may be larger than its files, or more were in use than there is room for

    def _load(self, slot: _Slot, recipe: Recipe, deadline: Deadline) -> bool:
        """Load the slot's pipeline if it is not loaded; whoever else asks for it waits. Return whether this did."""
        if slot.pipeline is not None:
            return False
        if not deadline.until(lambda seconds: slot.lock.acquire(timeout=seconds)):
            raise deadline.passed(recipe.model, "waiting for the host to load it")
        try:
            if slot.pipeline is not None:
                return False
            with deadline.stages.doing(IMPORTING):
                if not deadline.until(self.libraries.wait):
                    raise deadline.passed(recipe.model, IMPORTING)
            arguments = unpickled(recipe.arguments)
            self._make_room(_expected_bytes(Path(recipe.folder)))
            spec = ModelSpec(
                Path(recipe.folder), recipe.task, in_one_process(arguments), recipe.model, recipe.device,
                recipe.trust_remote_code,
            )  # fmt: skip
            pipeline = load_pipeline(spec, deadline)
            with self._lock:
                slot.bytes = pipeline_bytes(pipeline)
                slot.pipeline = pipeline
                self.loads += 1
        finally:
            slot.lock.release()
        return True

    def _make_room(self, needed: int = 0, *, keep: _Slot | None = None) -> None:
        """Unload what was not used for longest until so many bytes more are within the limit, as far as possible."""
        if self.memory is None:
            return
        unloaded = 0
        with self._lock:
            while self._bytes() + needed > self.memory:
                idle = [recipe for recipe, slot in self._slots.items() if not slot.users and slot is not keep]
                if not idle:
                    break
                del self._slots[min(idle, key=lambda recipe: self._slots[recipe].used)]
                unloaded += 1
            self.unloads += unloaded
        if unloaded:
            gc.collect()  # a pipeline's parts refer to each other

    def _bytes(self) -> int:
        return sum(slot.bytes for slot in self._slots.values())


def in_one_process(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a pipeline's arguments without processes that read its inputs: they would be forked from the host.

    They change no result, and a process with as many threads as the host's has locks that no child can open.
    """
    workers = kwargs.get("num_workers")
    if isinstance(workers, int) and workers > 0:
        return {**kwargs, "num_workers": 0}
    return kwargs


def _expected_bytes(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.suffix in _WEIGHTS)
    return REST_OF_A_PIPELINE + sum(path.stat().st_size for path in files)
