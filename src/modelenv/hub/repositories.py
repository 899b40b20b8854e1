"""Folders as repositories: which folders are repositories, and which of their files are served."""

from __future__ import annotations

import os
import re
import stat
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigurationError
from .content import FoundFile, Snapshot, commit_id, hash_file, served_file, tree_ids

# What the Hub allows in each part of a repository's name.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")


@dataclass(frozen=True)
class RepositoryInfo:
    """A repository of the embedded Hub: its id, its folder, the commit it is at, and the files it serves."""

    repo_id: str
    folder: Path
    commit: str
    files: tuple[str, ...]


class Repository:
    """A folder served as a repository; each file is hashed once for each (path, size, modification time)."""

    def __init__(self, repo_id: str, folder: Path) -> None:
        self.repo_id = repo_id
        self.folder = folder
        self._lock = threading.Lock()
        self._digests: dict[FoundFile, str] = {}
        self._snapshot: Snapshot | None = None

    def listing(self) -> tuple[FoundFile, ...]:
        """Return the files that are served, by path, without reading them.

        Left out are dot-folders such as `.git` and `.cache`, whatever is not a regular file, linked folders,
        and links to files that lie outside the repository or in a dot-folder of it.
        """
        top = self.folder.resolve()
        found = []
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            found += [file for name in names if (file := _served(top, Path(folder) / name)) is not None]
        return tuple(sorted(found, key=lambda file: file.path))

    def snapshot(self) -> Snapshot:
        """Return the folder's content as it is now; only what changed since the last call is hashed."""
        with self._lock:
            files = self.listing()
            if self._snapshot is not None and tuple(self._digests) == files:
                return self._snapshot
            self._digests = {
                file: self._digests[file] if file in self._digests else hash_file(file) for file in files
            }
            served = {file.path: served_file(file, digest) for file, digest in self._digests.items()}
            trees = tree_ids({path: file.blob_id for path, file in served.items()})
            newest = max((file.mtime_ns for file in files), default=0)
            self._snapshot = Snapshot(
                commit=commit_id(trees[""]),
                files=served,
                trees=trees,
                last_modified=datetime.fromtimestamp(newest / 1e9, UTC),
            )
            return self._snapshot


class Repositories:
    """The repositories that were added one by one, and those that lie under a root folder.

    Under the root, `<org>/<name>` and `<name>` are repositories if they hold at least one file. A first-level
    folder with a `config.json` is a model, and its subfolders are parts of it; without one it is taken for an
    organisation if any of its subfolders holds a file.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._added: dict[str, Repository] = {}
        self._known: dict[str, Repository] = {}

    def add(self, folder: Path, repo_id: str | None = None) -> RepositoryInfo:
        """Serve `folder` as `repo_id`, which may be left out for a folder under the root, and describe it.

        Raises:
            ConfigurationError: the folder has nothing to serve, or the id is missing, not valid, or taken.
        """
        folder = folder.absolute()
        if not folder.is_dir():
            raise ConfigurationError("this folder cannot be served", model=repo_id, found=f"no folder at {folder}")
        repo_id = _checked_id(repo_id if repo_id is not None else self._id_under_root(folder))
        present = self.find(repo_id)
        if present is not None and present.folder.resolve() != folder.resolve():
            raise ConfigurationError(
                "this repository id is taken",
                model=repo_id,
                found=f"{present.folder} is served under it",
                hint="give the folder another repo_id",
            )
        repository = present or Repository(repo_id, folder)
        snapshot = repository.snapshot()
        if not snapshot.files:
            raise ConfigurationError(
                "this folder has no file to serve",
                model=repo_id,
                expected="regular files outside of dot-folders, and no links that lead out of the folder",
                found=str(folder),
                hint="copy the folder with its links followed (cp -rL), and serve the copy",
            )
        with self._lock:
            self._added[repo_id] = repository
        return RepositoryInfo(repo_id, folder, snapshot.commit, tuple(snapshot.files))

    def find(self, repo_id: str) -> Repository | None:
        """Return the repository of this id, or None."""
        with self._lock:
            if repo_id in self._added:
                return self._added[repo_id]
        folder = self._folder_under_root(repo_id)
        if folder is None:
            return None
        with self._lock:
            return self._known.setdefault(repo_id, Repository(repo_id, folder))

    def all(self) -> tuple[Repository, ...]:
        """Return all repositories, by id."""
        with self._lock:
            ids = set(self._added)
        if self._root is not None:
            for first in _subfolders(self._root):
                ids |= {first.name, *(f"{first.name}/{second.name}" for second in _subfolders(first))}
        found = (self.find(repo_id) for repo_id in sorted(ids))
        return tuple(repository for repository in found if repository is not None)

    def _folder_under_root(self, repo_id: str) -> Path | None:
        # Nothing of a request reaches the file system but names that match the pattern.
        parts = repo_id.split("/")
        if self._root is None or not _valid(repo_id):
            return None
        first = self._root / parts[0]
        is_model = (first / "config.json").is_file()
        if len(parts) == 2:
            second = first / parts[1]
            return second if not is_model and _has_file(second) else None
        if is_model or (_has_file(first) and not any(_has_file(second) for second in _subfolders(first))):
            return first
        return None

    def _id_under_root(self, folder: Path) -> str:
        if self._root is not None and folder.resolve().is_relative_to(self._root.resolve()):
            return folder.resolve().relative_to(self._root.resolve()).as_posix()
        raise ConfigurationError(
            "a folder outside of the served root needs a repository id",
            found=str(folder),
            hint="pass repo_id='org/name'",
        )


def _valid(repo_id: str) -> bool:
    parts = repo_id.split("/")
    return len(parts) <= 2 and all(_NAME.fullmatch(part) and ".." not in part for part in parts)


def _checked_id(repo_id: str) -> str:
    if not _valid(repo_id):
        raise ConfigurationError(
            "this is not a repository id",
            expected="'org/name' or 'name' of letters, digits, '_', '-' and '.', no '.' or '-' in front",
            found=repr(repo_id),
        )
    return repo_id


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir() and _NAME.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):  # removed since it was listed
        return []


def _has_file(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_file() and not entry.name.startswith(".") for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _served(top: Path, location: Path) -> FoundFile | None:
    path = location.relative_to(top).as_posix()
    try:
        target = location.resolve(strict=True) if location.is_symlink() else location
        status = target.stat()
        path.encode()
    except (OSError, RuntimeError, UnicodeEncodeError):
        # A broken or circular link (RuntimeError before Python 3.13), a file just removed, a name not in UTF-8.
        return None
    inside = target.is_relative_to(top) and not any(
        part.startswith(".") for part in target.relative_to(top).parts[:-1]
    )
    if not inside or not stat.S_ISREG(status.st_mode):
        return None
    return FoundFile(path, target, status.st_size, status.st_mtime_ns)
