"""One repository: its history, its settings, and the folder that it follows until the first push."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelenv.forks import new_rlock
from modelenv.hub.repos.commits import MAIN, Snapshot, newest
from modelenv.hub.repos.folders import ServedFolder
from modelenv.hub.repos.history import History

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from modelenv.hub.repos.blobs import BlobStore
    from modelenv.hub.repos.content import FoundFile

RepoType = Literal["model", "dataset", "space"]
Gated = Literal["auto", "manual", False]


@dataclass(frozen=True)
class RepositorySettings:
    """The visibility of a repository: private ones are for their owners, gated ones for users with access."""

    private: bool = False
    gated: Gated = False


@dataclass(frozen=True)
class RepositoryState:
    """The mutable state of a repository."""

    repo_id: str
    history: History
    settings: RepositorySettings
    followed: bool
    created: datetime | None = None
    former_ids: frozenset[str] = frozenset()


class Repository:
    """A repository of the embedded Hub. Thread-safe.

    Args:
        repo_id: The id of the repository.
        folder: The folder to serve. A change of it is a new commit on `main`, until the first push. None if the
            repository holds only pushed files.
        blobs: Stores the files of earlier commits. None stores nothing.
        repo_type: The type: model, dataset or space.
        settings: The visibility.
        created: When the repository was created, if known.
        state: The state of another repository to start from, instead of `settings`.
    """

    def __init__(
        self,
        repo_id: str,
        folder: Path | ServedFolder | None,
        blobs: BlobStore | None = None,
        *,
        repo_type: RepoType = "model",
        settings: RepositorySettings | None = None,
        created: datetime | None = None,
        state: RepositoryState | None = None,
    ) -> None:
        self.repo_type = repo_type
        self._lock = new_rlock()
        self._folder = ServedFolder(folder, blobs) if isinstance(folder, Path) else folder
        self._state = state or RepositoryState(
            repo_id, History(), settings or RepositorySettings(), followed=folder is not None, created=created
        )

    @property
    def repo_id(self) -> str:
        """The current id. A move changes it."""
        return self._state.repo_id

    @property
    def ids(self) -> frozenset[str]:
        """The current id and all earlier ones."""
        return self._state.former_ids | {self.repo_id}

    @property
    def folder(self) -> Path | None:
        """The folder, or None."""
        return self._folder.path if self._folder is not None else None

    @property
    def settings(self) -> RepositorySettings:
        """The visibility."""
        return self._state.settings

    @property
    def created(self) -> datetime | None:
        """When the repository was created. None for a served folder."""
        return self._state.created

    def listing(self) -> tuple[FoundFile, ...]:
        """Return the files of `main`. The files of a followed folder are not hashed."""
        if self._folder is not None and self._state.followed:
            return self._folder.listing()
        history = self.history()
        return tuple(file.found for file in history.find(MAIN).files.values())

    def last_modified(self) -> datetime:
        """Return when `main` was last changed. The files of a followed folder are not hashed."""
        if self._folder is not None and self._state.followed:
            return newest(self._folder.listing())
        return self.history().find(MAIN).last_modified

    def history(self) -> History:
        """Return the current history. If the folder has changed, only the changed files are hashed."""
        with self._lock:
            state = self._state
            if self._folder is None or not state.followed:
                return state.history
            head = state.history.branches.get(MAIN)
            previous = state.history.commits[head] if head is not None else None
            snapshot = self._folder.snapshot(previous)
            if snapshot is not previous:
                self._set(history=state.history.committed(MAIN, snapshot))
            return self._state.history

    def snapshot(self, revision: str = MAIN) -> Snapshot:
        """Return the files at a revision.

        Raises:
            UnknownRevisionError: There is no such revision.
        """
        return self.history().find(revision)

    def change(self, change: Callable[[History], History]) -> History:
        """Replace the history by the result of `change`, atomically, and return it.

        Once `main` is at another commit than the folder's, the folder is no longer followed.
        """
        with self._lock:
            before = self.history()
            after = change(before)
            followed = self._state.followed and after.branches.get(MAIN) == before.branches.get(MAIN)
            self._set(history=after, followed=followed)
            return after

    def set_settings(self, settings: RepositorySettings) -> None:
        """Change the visibility."""
        with self._lock:
            self._set(settings=settings)

    def rename(self, repo_id: str) -> None:
        """Change the id."""
        with self._lock:
            self._set(repo_id=repo_id, former_ids=self.ids)

    def copy(self, blobs: BlobStore) -> Repository:
        """Return an independent copy in the current state, which stores new files in `blobs`."""
        with self._lock:
            folder = self._folder.copy(blobs) if self._folder is not None else None
            return Repository(self.repo_id, folder, repo_type=self.repo_type, state=self._state)

    def _set(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
