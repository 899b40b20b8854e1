"""Counts the requests that were answered, and those that were not because nothing is locked for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from modelenv.forks import new_lock

if TYPE_CHECKING:
    import threading

    from modelenv.fetching.snapshot import Fetched


class Watcher(Protocol):
    """Is told what installations do. Called from any thread."""

    def answered(self, repo: str) -> None:
        """Called after a request for a repo was answered without the Hub."""

    def fetched(self, repo: str, fetched: Fetched) -> None:
        """Called after files of a repo were fetched. `fetched.files` is their number."""


@dataclass(frozen=True, order=True)
class Unlocked:
    """Something on the Hub that a request asked for and that is not locked.

    Attributes:
        repo: The repo id. That of a dataset or space begins with `datasets/` or `spaces/`.
        revision: The requested revision, or None for the default branch.
        file: The file, if the revision is locked and only this file is not. Else empty.
    """

    repo: str
    revision: str | None = None
    file: str = ""

    def __str__(self) -> str:
        name = self.repo if self.revision is None else f"{self.repo}@{self.revision}"
        return f"{name}: {self.file}" if self.file else name


@dataclass(frozen=True, eq=False)
class Counts:
    """The counts of one installation. Thread-safe.

    Attributes:
        watcher: Is told about answers and fetches.
    """

    watcher: Watcher | None = None
    _answered: Counter[str] = field(default_factory=Counter)
    _passed: Counter[Unlocked] = field(default_factory=Counter)
    _refused: Counter[Unlocked] = field(default_factory=Counter)
    _written: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=new_lock, repr=False)

    @property
    def answered(self) -> int:
        """The number of requests that were answered without the Hub."""
        return self._answered.total()

    @property
    def passed_through(self) -> Mapping[Unlocked, int]:
        """What was requested from the Hub because it is not locked, with the number of requests."""
        return self._copy(self._passed)

    @property
    def refused(self) -> Mapping[Unlocked, int]:
        """What was refused because it is not locked, with the number of requests."""
        return self._copy(self._refused)

    def count_answer(self, repo: str) -> None:
        """Count a request that was answered."""
        self._count(self._answered, repo)
        if self.watcher is not None:
            self.watcher.answered(repo)

    def note_fetch(self, repo: str, fetched: Fetched) -> None:
        """Tell the watcher about files that were fetched."""
        if self.watcher is not None:
            self.watcher.fetched(repo, fetched)

    def count_passed(self, what: Unlocked) -> bool:
        """Count a request that is sent to the Hub. Returns whether it is the first for this."""
        return self._count(self._passed, what) == 1

    def count_write(self, repo: str) -> bool:
        """Count a request that writes to a locked repo. Returns whether it is the first for this repo."""
        return self._count(self._written, repo) == 1

    def count_refused(self, what: Unlocked) -> None:
        """Count a request that was refused."""
        self._count(self._refused, what)

    def _count(self, counter: Counter[Any], key: Any) -> int:
        with self._lock:
            counter[key] += 1
            return counter[key]

    def _copy(self, counter: Counter[Unlocked]) -> Mapping[Unlocked, int]:
        with self._lock:
            return MappingProxyType(dict(sorted(counter.items(), key=lambda item: str(item[0]))))
