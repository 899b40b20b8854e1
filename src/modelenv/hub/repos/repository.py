"""One repository: its history, its settings, and the folder that it follows until something is pushed to it."""

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
    """Who may read a repository: of a private one its owners, of a gated one those who were let in."""

    private: bool = False
    gated: Gated = False


@dataclass(frozen=True)
class RepositoryState:
    """All of a repository that can change."""

    repo_id: str
    history: History
    settings: RepositorySettings
    followed: bool
    created: datetime | None = None
    former_ids: frozenset[str] = frozenset()


class Repository:
    """A repository of the embedded Hub; safe under threads.

    Args:
        repo_id: its name.
        folder: what it serves; a change of it is a new commit on `main`, until the first push. None for one that
            holds only what is pushed.
        blobs: keeps the bytes of earlier commits; None keeps none.
        repo_type: model, dataset or space.
        settings: who may read it.
        created: when it was made, if that is known.
        state: all of this, and its history, as it was in another one; in place of `settings`.
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
        """The name, which a move changes."""
        return self._state.repo_id

    @property
    def ids(self) -> frozenset[str]:
        """The name, and those that it had before."""
        return self._state.former_ids | {self.repo_id}

    @property
    def folder(self) -> Path | None:
        """The folder that it was made of."""
        return self._folder.path if self._folder is not None else None

    @property
    def settings(self) -> RepositorySettings:
        """Who may read it."""
        return self._state.settings

    @property
    def created(self) -> datetime | None:
        """When it was made; None for a folder."""
        return self._state.created

    def listing(self) -> tuple[FoundFile, ...]:
        """Return the files of `main`; of a folder that is followed without hashing them."""
        if self._folder is not None and self._state.followed:
            return self._folder.listing()
        history = self.history()
        return tuple(file.found for file in history.find(MAIN).files.values())

    def last_modified(self) -> datetime:
        """Return when `main` was changed; of a folder that is followed without hashing it."""
        if self._folder is not None and self._state.followed:
            return newest(self._folder.listing())
        return self.history().find(MAIN).last_modified

    def history(self) -> History:
        """Return the history as it is now; of a changed folder only what changed is hashed."""
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
            UnknownRevisionError: there is no such revision.
        """
        return self.history().find(revision)

    def change(self, change: Callable[[History], History]) -> History:
        """Replace the history by what `change` makes of it, while nobody else can, and return it.

        Once `main` has another commit than the folder's, the folder is no longer followed.
        """
        with self._lock:
            before = self.history()
            after = change(before)
            followed = self._state.followed and after.branches.get(MAIN) == before.branches.get(MAIN)
            self._set(history=after, followed=followed)
            return after

    def set_settings(self, settings: RepositorySettings) -> None:
        """Change who may read it."""
        with self._lock:
            self._set(settings=settings)

    def rename(self, repo_id: str) -> None:
        """Change the name."""
        with self._lock:
            self._set(repo_id=repo_id, former_ids=self.ids)

    def copy(self, blobs: BlobStore) -> Repository:
        """Return a repository that is as this one is now, and keeps what is new in `blobs`."""
        with self._lock:
            folder = self._folder.copy(blobs) if self._folder is not None else None
            return Repository(self.repo_id, folder, repo_type=self.repo_type, state=self._state)

    def _set(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
