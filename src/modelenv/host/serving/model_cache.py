"""The pipelines that a host holds, within a memory limit. The least recently used one is unloaded first."""

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
    """One pipeline, or None until it is loaded, and a lock so that only one caller at a time loads it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pipeline: Any = None
    bytes: int = 0
    users: int = 0
    used: float = 0.0


@dataclass(eq=False)
class ModelCache:
    """Loads each recipe's pipeline once, for all threads.

    Attributes:
        libraries: Set once torch and transformers are imported. Only one thread imports them, because two that import
            them at the same time can deadlock.
        memory: The limit in bytes. None: no limit. A pipeline counts with the bytes of its parameters and buffers,
            whether or not they are mapped from its files, plus 4 MiB for the rest. Pipelines in use and the most
            recently used one are never unloaded. So pipelines in use at the same time can exceed the limit until
            the first is released, and one larger than the limit is held alone.
        loads: The number of pipelines loaded.
        unloads: The number of pipelines unloaded to stay within the limit.
    """

    libraries: threading.Event
    memory: int | None = None
    loads: int = 0
    unloads: int = 0
    _slots: dict[Recipe, _Slot] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the loaded models, each with its task."""
        with self._lock:
            return tuple(
                f"{recipe.model} ({recipe.task})" for recipe, slot in self._slots.items() if slot.pipeline is not None
            )

    @property
    def bytes(self) -> int:
        """The size of the loaded models."""
        with self._lock:
            return self._bytes()

    def build(self, recipe: Recipe, deadline: Deadline) -> Built:
        """Load the recipe's pipeline, unless it is loaded. Raises the same errors as `using`."""
        started = time.monotonic()
        with self._slot(recipe) as slot:
            fresh = self._load(slot, recipe, deadline)
        return Built(fresh, time.monotonic() - started if fresh else 0.0)

    @contextmanager
    def using(self, recipe: Recipe, deadline: Deadline) -> Iterator[Any]:
        """Context manager for the recipe's pipeline. It is loaded if needed, and not unloaded within the block.

        Raises:
            ModelLoadTimeoutError: The deadline passed.
            ModelEnvError: The load failed, as in `load_pipeline`.
            UnreadableError: The recipe's arguments are of classes that are unknown here.
        """
        with self._slot(recipe) as slot:
            self._load(slot, recipe, deadline)
            yield slot.pipeline

    def limit(self, memory: int | None) -> None:
        """Change the memory limit."""
        self.memory = memory
        self._make_room()

    def has_room(self, folder: Path) -> bool:
        """Whether the folder's model, judged by the size of its files, fits without unloading another."""
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
            # The pipeline can be larger than its files, or those in use were larger than the limit.
            self._make_room(keep=slot)

    def _load(self, slot: _Slot, recipe: Recipe, deadline: Deadline) -> bool:
        """Load the slot's pipeline, unless it is loaded. Other callers wait. Returns whether this call loaded it."""
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
        """Unload the least recently used pipelines until `needed` more bytes fit, as far as possible."""
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
    """Return a pipeline's arguments with `num_workers=0`, so that no process is forked from the host to read inputs.

    Such processes change no result. They could deadlock, because a child of a process with threads inherits locks
    that nothing releases.
    """
    workers = kwargs.get("num_workers")
    if isinstance(workers, int) and workers > 0:
        return {**kwargs, "num_workers": 0}
    return kwargs


def _expected_bytes(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.suffix in _WEIGHTS)
    return REST_OF_A_PIPELINE + sum(path.stat().st_size for path in files)
