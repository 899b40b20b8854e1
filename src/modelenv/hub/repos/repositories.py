"""All repositories of a Hub: those that were added or created, and those under a root folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from modelenv.errors import ConfigurationError
from modelenv.forks import new_rlock
from modelenv.hub.repos.blobs import BlobStore
from modelenv.hub.repos.repository import Repository, RepositorySettings, RepoType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Repositories", "Repository", "RepositoryInfo", "TakenIdError", "valid_repo_id"]

# The Hub's pattern for each part of a repository id.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")

# The type of a repository, and its id in lower case: ids on the Hub are case-insensitive.
Key = tuple[RepoType, str]


class TakenIdError(ValueError):
    """A repository of this type and id already exists."""


@dataclass(frozen=True)
class RepositoryInfo:
    """A repository of the embedded Hub: its id, its folder, its current commit, and the files it serves."""

    repo_id: str
    folder: Path
    commit: str
    files: tuple[str, ...]


class Repositories:
    """The repositories that were added one by one, and those under a root folder.

    Under the root, `<org>/<name>` and `<name>` are models if they contain at least one file. A first-level folder
    with a `config.json` is a model, and its subfolders are parts of it. Without one it is an organisation if any of
    its subfolders contains a file. Links that lead out of the root are ignored. The root and added folders are only
    read, never written.

    Args:
        root: The root folder, or None.
        blobs: Stores pushed files, and earlier contents of the folders.
        added: The repositories that were added or created.
        known: The repositories found under the root.
        moved: Moved repositories by their earlier ids.
        removed: The ids under the root that are no longer served.
    """

    def __init__(
        self,
        root: Path | None,
        blobs: BlobStore | None = None,
        added: Mapping[Key, Repository] = MappingProxyType({}),
        known: Mapping[Key, Repository] = MappingProxyType({}),
        moved: Mapping[Key, Repository] = MappingProxyType({}),
        removed: frozenset[Key] = frozenset(),
    ) -> None:
        self._root = root
        self._blobs = blobs if blobs is not None else BlobStore()
        self._lock = new_rlock()
        self._added = dict(added)
        self._known = dict(known)
        self._moved = dict(moved)
        self._removed = removed

    def add(
        self,
        folder: Path,
        repo_id: str | None = None,
        *,
        repo_type: RepoType = "model",
        settings: RepositorySettings | None = None,
    ) -> RepositoryInfo:
        """Serve `folder` as `repo_id`, and describe it. The id can be omitted for a folder under the root.

        Raises:
            ConfigurationError: The folder has nothing to serve, or the id is missing, not valid, or taken.
        """
        folder = folder.absolute()
        if not folder.is_dir():
            raise ConfigurationError("the folder to serve does not exist", model=repo_id, found=str(folder))
        repo_id = _checked_id(repo_id if repo_id is not None else self._id_under_root(folder))
        present = self.find(repo_id, repo_type)
        if present is not None and (present.folder is None or present.folder.resolve() != folder.resolve()):
            raise ConfigurationError(
                "this repository id is taken",
                model=repo_id,
                found=f"{present.folder or 'a pushed repository'} is served under it",
                hint="give the folder another repo_id",
            )
        repository = present or Repository(repo_id, folder, self._blobs, repo_type=repo_type)
        snapshot = repository.snapshot()
        if not snapshot.files:
            raise ConfigurationError(
                "the folder has no files to serve",
                model=repo_id,
                expected="regular files outside of dot-folders, and no links that lead out of the folder",
                found=str(folder),
                hint="copy the folder and follow its links (cp -rL), then serve the copy",
            )
        if settings is not None:
            repository.set_settings(settings)
        with self._lock:
            self._added[_key(repo_id, repo_type)] = repository
        return RepositoryInfo(repo_id, folder, snapshot.commit, tuple(snapshot.files))

    def create(self, repository: Repository) -> None:
        """Add a repository that holds only pushed files.

        Raises:
            TakenIdError: The id is taken.
        """
        with self._lock:
            if self.find(repository.repo_id, repository.repo_type) is not None:
                raise TakenIdError(repository.repo_id)
            key = _key(repository.repo_id, repository.repo_type)
            self._added[key] = repository
            self._moved.pop(key, None)

    def find(self, repo_id: str, repo_type: RepoType = "model") -> Repository | None:
        """Return the repository with this id, ignoring case, or None."""
        key = _key(repo_id, repo_type)
        with self._lock:
            if key in self._added:
                return self._added[key]
            if key in self._removed or repo_type != "model":
                return None
            folder = self._folder_under_root(repo_id)
            if folder is None:
                in_other_letters = (known for known in self._ids_under_root() if known.lower() == key[1])
                repo_id = next(in_other_letters, "")
                folder = self._folder_under_root(repo_id)
            if folder is None:
                return None
            return self._known.setdefault(key, Repository(repo_id, folder, self._blobs))

    def moved(self, repo_id: str, repo_type: RepoType = "model") -> Repository | None:
        """Return the repository that had this id before it was moved, or None."""
        with self._lock:
            return self._moved.get(_key(repo_id, repo_type))

    def move(self, repository: Repository, repo_id: str) -> None:
        """Change the id of a repository. All its earlier ids lead to it from now on.

        Raises:
            TakenIdError: The new id is taken.
        """
        with self._lock:
            present = self.find(repo_id, repository.repo_type)
            if present is not None and present is not repository:
                raise TakenIdError(repo_id)
            old, new = (_key(name, repository.repo_type) for name in (repository.repo_id, repo_id))
            self._added.pop(old, None)
            self._removed |= {old}
            repository.rename(repo_id)
            self._added[new] = repository
            self._moved.pop(new, None)
            if old != new:
                self._moved[old] = repository

    def remove(self, repository: Repository) -> None:
        """Stop serving a repository. Its folder is not changed."""
        with self._lock:
            key = _key(repository.repo_id, repository.repo_type)
            self._added.pop(key, None)
            self._removed |= {key}
            self._moved = {old: known for old, known in self._moved.items() if known is not repository}

    def all(self, repo_type: RepoType = "model") -> tuple[Repository, ...]:
        """Return all repositories of this type, sorted by id."""
        with self._lock:
            ids = {known.repo_id for (kind, _), known in self._added.items() if kind == repo_type}
        if repo_type == "model":
            ids |= self._ids_under_root()
        found = (self.find(repo_id, repo_type) for repo_id in sorted(ids))
        return tuple(repository for repository in found if repository is not None)

    def of_all_types(self) -> tuple[Repository, ...]:
        """Return all repositories, sorted by type and id."""
        return tuple(known for repo_type in get_args(RepoType) for known in self.all(repo_type))

    def copy(self, blobs: BlobStore) -> Repositories:
        """Return an independent copy in the current state."""
        with self._lock:
            registers = (self._added, self._known, self._moved)
            copies = {known: known.copy(blobs) for register in registers for known in register.values()}
            added, known, moved = ({key: copies[one] for key, one in register.items()} for register in registers)
            return Repositories(self._root, blobs, added, known, moved, self._removed)

    def _ids_under_root(self) -> set[str]:
        """Return all ids under the root that could be models."""
        ids: set[str] = set()
        for first in _subfolders(self._root) if self._root is not None else ():
            ids |= {first.name, *(f"{first.name}/{second.name}" for second in _subfolders(first))}
        return ids

    def _folder_under_root(self, repo_id: str) -> Path | None:
        # Only names that match the pattern reach the file system, and links must not lead out of the root.
        parts = repo_id.split("/")
        if self._root is None or not valid_repo_id(repo_id):
            return None
        if not (self._root / repo_id).resolve().is_relative_to(self._root.resolve()):
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
            "a folder outside the served root requires a repo id",
            found=str(folder),
            hint="pass repo_id='org/name'",
        )


def valid_repo_id(repo_id: str) -> bool:
    """Whether the Hub allows this id for a repository."""
    parts = repo_id.split("/")
    return len(parts) <= 2 and all(_NAME.fullmatch(part) and ".." not in part for part in parts)


def _key(repo_id: str, repo_type: RepoType) -> Key:
    return repo_type, repo_id.lower()


def _checked_id(repo_id: str) -> str:
    if not valid_repo_id(repo_id):
        raise ConfigurationError(
            "not a valid repo id",
            expected="'org/name' or 'name' of letters, digits, '_', '-' and '.', not starting with '.' or '-'",
            found=repr(repo_id),
        )
    return repo_id


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir() and _NAME.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):  # removed after it was listed
        return []


def _has_file(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_file() and not entry.name.startswith(".") for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
