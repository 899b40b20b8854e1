"""The references of a cache: which commits they let the client find under the names that are locked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelenv.errors import ModelNotFoundError
from modelenv.files.disk import write_atomically
from modelenv.files.layouts import CacheFolder
from modelenv.interception.locked_repos import DEFAULT_BRANCH, LockedCommit
from modelenv.locks.values import LockedModel

logger = logging.getLogger("modelenv")


@dataclass(frozen=True)
class OtherReference:
    """A reference of a locked name that leads to another commit, which is in the cache.

    A load that makes no requests gets that commit.

    Attributes:
        locked: The model of the lock.
        path: The reference.
        commit: The commit that it names.
        hint: How to mend it.
    """

    locked: LockedModel
    path: Path
    commit: str
    hint: str

    def __str__(self) -> str:
        return (
            f"{self.locked.repo}: a load without requests gets commit {self.commit[:12]}, which {self.path} names, "
            f"and not the locked commit {self.locked.commit[:12]}: {self.hint}"
        )

    def error(self) -> ModelNotFoundError:
        """Return the error for offline mode."""
        return ModelNotFoundError(
            "a load in offline mode would get another commit than the locked one",
            model=self.locked.repo,
            expected=f"commit {self.locked.commit}",
            found=f"commit {self.commit}, which {self.path} names",
            hint=self.hint,
        )


def write_references(cache: CacheFolder, commit: LockedCommit) -> None:
    """Let the branches and tags of the lock name its commit, for loads that do not ask: `local_files_only`."""
    for entry, reference in _references(cache, commit):
        try:
            if not reference.is_file() or reference.read_text() != entry.commit:
                write_atomically(reference, entry.commit)
        except OSError as error:
            logger.info("%s: cannot write the reference %s: %s", entry.repo, reference, error)


def other_references(cache: CacheFolder, commit: LockedCommit) -> Iterator[OtherReference]:
    """Yield the references of the lock's branches and tags that lead to another commit in the cache."""
    is_there = cache.snapshot(commit.model.commit).is_dir()
    hint = f"make {cache.refs} writable" if is_there else "run `modelenv pull` where the Hub can be reached"
    for entry, reference in _references(cache, commit):
        try:
            named = reference.read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue  # there is no such reference
        if named not in ("", entry.commit) and cache.snapshot(named).is_dir():
            yield OtherReference(entry, reference, named, hint)


def _references(cache: CacheFolder, commit: LockedCommit) -> Iterator[tuple[LockedModel, Path]]:
    for entry in commit.entries:
        if entry.revision != entry.commit:
            yield entry, cache.refs / (entry.revision or DEFAULT_BRANCH)
