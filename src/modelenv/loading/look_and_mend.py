"""The steps that lead to every folder to load: look, take the model's lock, look again, mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from modelenv.deadlines import Deadline
from modelenv.errors import ModelLoadTimeoutError
from modelenv.fetching.failures import FailureLog
from modelenv.fetching.snapshot import Fetched
from modelenv.files.layouts import is_snapshot
from modelenv.references import ModelRef
from modelenv.store.store import Store

T = TypeVar("T")
_HINT = "load it once where the store is writable and the Hub can be reached: the missing files are then downloaded"
_HINT_BY_HAND = "add the missing files; or declare the model, and run `modelenv lock` and `modelenv pull`"


@dataclass(frozen=True)
class Obtained:
    """A folder that can be loaded, and how it was obtained.

    Attributes:
        path: The folder.
        fetched: The fetch that brought it, or None if nothing was fetched.
        whole: Whether the folder has every file that a load reads, according to the Hub's listing or the lock.
        requests: The number of requests to the Hub, without those of `fetched`.
    """

    path: Path
    fetched: Fetched | None = None
    whole: bool = True
    requests: int = 0

    @property
    def hint(self) -> str:
        """How to get the files that the folder lacks."""
        return _HINT if is_snapshot(self.path) else _HINT_BY_HAND


class Road(Protocol[T]):
    """One kind of search for a folder, with the repair of what was found. See `follow`."""

    def look(self) -> T:
        """Return what the store contains now. Writes no model files."""

    def is_right(self, found: T) -> bool:
        """Whether `found` can be loaded as it is."""

    def mend(self, found: T) -> T:
        """Fetch the missing files, replace the damaged ones, and return the result. The caller holds the lock."""


def follow(road: Road[T], lock: AbstractContextManager[None] | None) -> T:
    """Look, and if the result is not right, look again under the lock and mend it.

    Args:
        road: The search to run.
        lock: The model's lock, not entered yet. None if nothing can be written: the result might then not be right,
            and the caller raises the error.
    """
    found = road.look()
    if lock is None or road.is_right(found):
        return found
    with lock:
        found = road.look()  # another process might have mended it in the meantime
        return found if road.is_right(found) else road.mend(found)


@contextmanager
def holding_lock(
    store: Store,
    ref: ModelRef,
    deadline: Deadline,
    failures: FailureLog | None = None,
    *,
    allow_pickle: bool = False,
) -> Iterator[None]:
    """Context manager: hold the model's lock.

    Raises:
        ModelLoadTimeoutError: Another process held the lock until the deadline. If `failures` contains the error of
            that process, this error is raised instead.
    """
    held = False
    try:
        with store.lock(ref, deadline):
            held = True
            yield
    except ModelLoadTimeoutError:
        if not held and failures is not None:
            failures.raise_if_failed(ref, deadline, allow_pickle=allow_pickle)
        raise
