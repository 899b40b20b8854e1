"""How every folder that is loaded is obtained: look, take the model's lock, look again, mend."""

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
_HINT = "load it once where the Hub can be asked and the store may be written: what is missing is then fetched"
_HINT_BY_HAND = "add what is missing; or declare the model, and fill the store by `modelenv lock` and `modelenv pull`"


@dataclass(frozen=True)
class Obtained:
    """A folder that can be loaded, and how it was obtained.

    Attributes:
        path: The folder.
        fetched: The fetch that brought it, or None if nothing was fetched.
        whole: Whether the Hub's listing, or the lock, says that the folder lacks nothing that a load reads.
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
    """One way to a folder."""

    def look(self) -> T:
        """Return what the store has now. Writes no model file."""

    def is_right(self, found: T) -> bool:
        """Whether it can be loaded without a change."""

    def mend(self, found: T) -> T:
        """Fetch or repair what is missing, and return the result. The caller holds the model's lock."""


def follow(road: Road[T], lock: AbstractContextManager[None] | None) -> T:
    """Return what the road leads to.

    Args:
        road: The road.
        lock: The model's lock, not entered yet. None if nothing can be written: the result may then be wrong, and
            the caller says what is wrong with it.
    """
    found = road.look()
    if lock is None or road.is_right(found):
        return found
    with lock:
        found = road.look()  # another process may have mended it in the meantime
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
    """Hold the model's lock for the length of a block.

    Raises:
        ModelLoadTimeoutError: Another process held the lock until the deadline. If `failures` knows why that process
            failed, its error is raised instead.
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
