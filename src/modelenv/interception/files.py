"""The verified files of locked commits on disk: in a store that can be filled, or on a volume that is only read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import is_offline
from modelenv.files.disk import make_private, reading
from modelenv.files.hashing import hash_file
from modelenv.files.layouts import cache_folders
from modelenv.forks import new_lock
from modelenv.interception.locked_repos import LockedCommit
from modelenv.interception.references import other_references, write_references
from modelenv.locks.values import SHA1, LockedFile
from modelenv.store.checks import Checks
from modelenv.store.integrity import check_links, matches_blob_name
from modelenv.store.store import Store
from modelenv.store.verification import Difference, Kind

if TYPE_CHECKING:
    import threading

    from modelenv.fetching.snapshot import Fetched
    from modelenv.loading.locked_folder import FoundFolder

logger = logging.getLogger("modelenv")


class Files(Protocol):
    """Where the files of locked commits are."""

    @property
    def cache(self) -> Path:
        """The cache for the client: the value of `HF_HUB_CACHE`."""

    def prepare(self, commits: tuple[LockedCommit, ...]) -> None:
        """Check what is in the cache, because the client does not ask for a file that it finds there."""

    def check(self, commit: LockedCommit) -> None:
        """Check what is in the cache for one commit."""

    def path(self, commit: LockedCommit, file: LockedFile) -> Path:
        """Return the path of the verified file. If possible, a missing or damaged file is fetched first."""

    def unlocked(self, commit: LockedCommit, path: str) -> tuple[LockedFile, Path] | None:
        """Return a file that is not locked, if the cache has it for this commit."""

    def is_known_absent(self, commit: LockedCommit, path: str) -> bool:
        """Whether the cache remembers that the commit has no such file."""


@dataclass(frozen=True, eq=False)
class _Wanted:
    """The files that threads of this process wait for, so that one of them fetches all at once."""

    _paths: dict[str, dict[str, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=new_lock, repr=False)

    @contextmanager
    def one_more(self, commit: str, path: str) -> Iterator[None]:
        """Context manager: want this file."""
        with self._lock:
            wanted = self._paths.setdefault(commit, {})
            wanted[path] = wanted.get(path, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                wanted[path] -= 1

    def now(self, commit: str) -> frozenset[str]:
        """Return the files that are wanted now."""
        with self._lock:
            return frozenset(path for path, count in self._paths.get(commit, {}).items() if count)


def _ignore(repo: str, fetched: Fetched) -> None:
    del repo, fetched


@dataclass(frozen=True)
class CacheFiles:
    """The files in a store, fetched into it under its lock.

    Attributes:
        store: The store.
        seconds: The time limit for obtaining one file.
        on_fetch: Called after files of a repo were fetched.
        checks: How files are checked.
    """

    store: Store
    seconds: float
    on_fetch: Callable[[str, Fetched], None] = _ignore
    checks: Checks = field(default_factory=Checks)
    _wanted: _Wanted = field(default_factory=_Wanted, repr=False)

    @property
    def cache(self) -> Path:
        """The root of the store."""
        return self.store.root

    def prepare(self, commits: tuple[LockedCommit, ...]) -> None:
        """Set aside damaged files, and let the references name the locked commits that are in the cache.

        A reference to another commit stays if the locked one is not in the cache: other programs may use it.

        Raises:
            ModelIntegrityError, UnsafeModelError: See `check`.
            ModelNotFoundError: In offline mode, a reference of a locked name leads to another commit.
        """
        if self.store.private:
            make_private(self.store.root.parent)
            make_private(self.store.root)
        for commit in commits:
            cache = cache_folders(self.store.root, commit.model.ref)[0]
            if cache.snapshot(commit.model.commit).is_dir():
                self.check(commit)
                if not self.store.is_read_only():
                    write_references(cache, commit)
            for reference in other_references(cache, commit):
                if is_offline():
                    raise reference.error()
                logger.warning("%s", reference)

    def check(self, commit: LockedCommit) -> None:
        """Set aside damaged files of one commit, so that the client asks for them.

        Nothing is fetched here, because this can run while `huggingface_hub` is being imported.

        Raises:
            ModelIntegrityError: A file is damaged, and cannot be set aside or fetched again.
            UnsafeModelError: A link leads out of the store.
        """
        from modelenv.loading.locked_folder import set_aside, snapshot_of, unavailable

        damage = tuple(filter(_is_damage, self._look(commit).verified.differences))
        if not damage:
            return
        if self.store.is_read_only() or is_offline():
            raise unavailable(self.store, commit.model, damage, fetches=True)
        snapshot = snapshot_of(self.store, commit.model)
        with self.store.lock(commit.model.ref, Deadline(self.seconds)):
            for difference in filter(_is_damage, self._look(commit).verified.differences):
                file = commit.files.get(difference.path)
                blob_id = None if file is None else file.blob_id
                set_aside(self.store, commit.model.ref, snapshot / difference.path, blob_id)

    def _look(self, commit: LockedCommit) -> FoundFolder:
        from modelenv.loading.locked_folder import FoundFolder, find_locked

        with reading(commit.model.repo):
            return FoundFolder(*find_locked(self.store, commit.model, self.checks))

    def path(self, commit: LockedCommit, file: LockedFile) -> Path:
        """Return the path of the verified file, fetched into the store if it is missing or damaged.

        Raises:
            ModelDownloadError, ModelNotFoundError, ModelLoadTimeoutError, NoSpaceError: It could not be fetched.
            ModelIntegrityError: A file of the model is damaged, and could not be fetched again.
            UnsafeModelError: A link leads out of the store.
        """
        from modelenv.loading.locked_folder import unavailable
        from modelenv.loading.look_and_mend import follow, holding_lock

        deadline = Deadline(self.seconds)
        road = _FileRoad(self, commit, file.path, deadline)
        lock = None if self.store.is_read_only() else holding_lock(self.store, commit.model.ref, deadline)
        with self._wanted.one_more(commit.model.commit, file.path):
            found = follow(road, lock)
        left = tuple(filter(road.is_needed, found.verified.differences))
        if left:
            raise unavailable(self.store, commit.model, left, fetches=True)
        return found.path / file.path

    def wanted(self, commit: str) -> frozenset[str]:
        """Return the files of a commit that threads of this process wait for."""
        return self._wanted.now(commit)

    def look(self, commit: LockedCommit) -> FoundFolder:
        """Compare the model's folder with the lock."""
        self.store.claim(commit.model.ref, commit.model.commit)
        return self._look(commit)

    def unlocked(self, commit: LockedCommit, path: str) -> tuple[LockedFile, Path] | None:
        """Return a file that the client has fetched itself, if its content is that of its blob's name."""
        return _unlocked(self.cache, commit, path)

    def is_known_absent(self, commit: LockedCommit, path: str) -> bool:
        """Whether the client remembers that the commit has no such file."""
        cache = cache_folders(self.cache, commit.model.ref)[0]
        return (cache.absent(commit.model.commit) / path).is_file()


@dataclass(frozen=True)
class _FileRoad:
    """A `Road` to one file of a locked commit."""

    files: CacheFiles
    commit: LockedCommit
    path: str
    deadline: Deadline

    def look(self) -> FoundFolder:
        return self.files.look(self.commit)

    def is_right(self, found: FoundFolder) -> bool:
        return not any(map(self.is_needed, found.verified.differences))

    def is_needed(self, difference: Difference) -> bool:
        return _is_damage(difference) or difference.path == self.path

    def mend(self, found: FoundFolder) -> FoundFolder:
        from modelenv.amounts import counted
        from modelenv.environment.progress_bars import download_bar
        from modelenv.fetching.leftovers import remove_leftovers
        from modelenv.loading.locked_folder import repair

        wanted = self.files.wanted(self.commit.model.commit)  # of the threads that wait for the lock, too
        store, locked, checks = self.files.store, self.commit.model, self.files.checks
        paths = {each.path for each in found.verified.differences if _is_damage(each) or each.path in wanted}
        size = sum(file.size for file in locked.files if file.path in paths)
        remove_leftovers(store, locked.ref)
        with download_bar(f"{locked.repo} ({counted(len(paths), 'file')})", size) as progress:
            mended = repair(
                store, locked, found, self.deadline, replace(checks, progress=progress),
                is_needed=lambda difference: _is_damage(difference) or difference.path in paths,
            )  # fmt: skip
        if mended.fetched is not None:
            self.files.on_fetch(locked.repo, replace(mended.fetched, files=len(paths)))
        return mended


def _is_damage(difference: Difference) -> bool:
    return difference.kind is not Kind.MISSING


def _unlocked(cache: Path, commit: LockedCommit, path: str) -> tuple[LockedFile, Path] | None:
    folder = cache_folders(cache, commit.model.ref)[0].snapshot(commit.model.commit)
    link = folder / path
    if not link.is_file() or not link.is_symlink():
        return None
    check_links(folder, root=cache, model=commit.model.repo)
    blob = Path(os.path.realpath(link))
    known = hash_file(blob)
    if isinstance(known, OSError) or known.sha256 is None:
        return None
    if blob.name != known.sha256 and not (SHA1.fullmatch(blob.name) and matches_blob_name(blob)):
        return None  # damaged, or a mirror's ETag, from which the content cannot be checked
    return LockedFile(path, known.size, known.sha256, blob.name), blob
