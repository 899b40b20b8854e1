"""Records which project locks need a snapshot, and which of its files and references modelenv created.

A cache can be shared with other projects and programs, so `prune` removes only what these records show to be
unneeded. A claim is a separate file per lock and snapshot, so it is made without holding the model's lock.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelenv.files.disk import write_atomically

_FORMAT = 1


def claimant_of(lock_path: Path | None) -> str | None:
    """Return the name under which a project lock claims snapshots, or None without a lock.

    It includes the machine, since `/app/modelenv.lock` in two containers that share a cache is two different locks.
    """
    return None if lock_path is None else f"{os.uname().nodename}:{os.path.realpath(lock_path)}"


@dataclass(frozen=True)
class Made:
    """What modelenv created in a cache for one snapshot.

    Attributes:
        files: The links in the snapshot that modelenv created.
        references: The references to the snapshot that modelenv wrote.
    """

    files: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()

    def __or__(self, other: Made) -> Made:
        return Made(self.files | other.files, self.references | other.references)


@dataclass(frozen=True)
class Claims:
    """The claims on one snapshot.

    Attributes:
        side: The folder in which modelenv keeps its own files about the model.
        commit: The commit of the snapshot.
    """

    side: Path
    commit: str

    def claim(self, claimant: str) -> None:
        """Record that the lock needs the snapshot.

        Raises:
            OSError: The store cannot be written.
        """
        path = self._path(claimant)
        if not path.exists():
            write_atomically(path, claimant + "\n")

    def holds(self, claimant: str) -> bool:
        """Whether the lock has claimed the snapshot."""
        return self._path(claimant).exists()

    def others(self, claimant: str | None) -> int:
        """Return how many other locks need the snapshot."""
        try:
            found = os.listdir(self._folder)  # noqa: PTH208 - only names
            names = {name for name in found if not name.startswith(".")}
        except FileNotFoundError:
            return 0
        return len(names) if claimant is None else len(names - {self._path(claimant).name})

    def withdraw(self, claimant: str) -> None:
        """Remove the lock's claim.

        Raises:
            OSError: The store cannot be written.
        """
        self._path(claimant).unlink(missing_ok=True)

    def made(self) -> Made | None:
        """Return what modelenv created for the snapshot, or None if there is no valid record."""
        try:
            document = json.loads(self._made.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            return None
        return Made(_names(document.get("files")), _names(document.get("references")))

    def add(self, made: Made) -> None:
        """Record what modelenv is about to create for the snapshot. The caller holds the model's lock.

        Raises:
            OSError: The store cannot be written.
        """
        known = self.made() or Made()
        both = known | made
        if both != known:
            document = {"format": _FORMAT, "files": sorted(both.files), "references": sorted(both.references)}
            write_atomically(self._made, json.dumps(document, indent=1) + "\n")

    def forget(self) -> None:
        """Remove the records of a snapshot that was removed. The caller holds the model's lock.

        Raises:
            OSError: The store cannot be written.
        """
        self._made.unlink(missing_ok=True)
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink()
            self._folder.rmdir()

    @property
    def _folder(self) -> Path:
        return self.side / f"{self.commit}.claims"

    @property
    def _made(self) -> Path:
        return self.side / f"{self.commit}.made.json"

    def _path(self, claimant: str) -> Path:
        return self._folder / hashlib.sha256(claimant.encode()).hexdigest()[:16]


def _names(value: Any) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, list) else frozenset()
