"""The verified files of a volume, shown to the client as a cache of links.

A volume has one plain folder per model, and can be read-only. The client looks for files in a cache of its own
layout, and would copy them there. So its cache is a private temporary folder, with a link to each verified file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelenv.environment.libraries import is_offline
from modelenv.errors import ModelNotFoundError
from modelenv.files.disk import reading
from modelenv.interception.links import link_files, remove_cache
from modelenv.interception.locked_repos import LockedCommit
from modelenv.locks.values import LockedFile
from modelenv.store.checks import Checks
from modelenv.store.store import Store
from modelenv.store.verification import integrity_error
from modelenv.volume.reading import verify_on_volume, volume_metadata


@dataclass(frozen=True)
class VolumeFiles:
    """The files of a volume.

    Attributes:
        root: The folder where the volume is mounted.
        cache: The private folder for the links.
        checks: How files are checked.
    """

    root: Path
    cache: Path
    checks: Checks

    def prepare(self, commits: tuple[LockedCommit, ...]) -> None:
        """In offline mode, verify all models and make the links, because the client then asks for nothing.

        Raises:
            ModelIntegrityError, ModelNotFoundError, UnsafeModelError: See `path`.
        """
        if is_offline():
            for commit in commits:
                self._linked(commit)

    def check(self, commit: LockedCommit) -> None:
        """Verify the model, and make the links to its files.

        Raises:
            ModelIntegrityError, ModelNotFoundError, UnsafeModelError: See `path`.
        """
        self._linked(commit)

    def path(self, commit: LockedCommit, file: LockedFile) -> Path:
        """Return the path of the file on the volume. The whole model is verified first.

        Raises:
            ModelIntegrityError: A file is missing, extra, changed or unreadable.
            ModelNotFoundError: The volume does not contain this commit.
            UnsafeModelError: A link is in the path of the model's folder.
        """
        return self._linked(commit) / file.path

    def _linked(self, commit: LockedCommit) -> Path:
        """Return the model's verified folder on the volume, after making the links to its files."""
        folder = self._verified(commit)
        link_files(self.cache, commit, commit.files, folder)
        return folder

    def _verified(self, commit: LockedCommit) -> Path:
        locked = commit.model
        hint = f"run `modelenv pull --to {self.root}` where the volume can be written"
        metadata = volume_metadata(self.root)
        if metadata is None:
            return self._put_there_by_hand(commit, hint)
        model = metadata.holding(locked)
        if model is None:
            held = ", ".join(f"{each.locked.repo} ({each.locked.commit[:12]})" for each in metadata.models[:10])
            raise ModelNotFoundError(
                f"the locked commit {locked.commit[:12]} is not on this volume",
                model=locked.repo,
                found=f"{self.root} has {held or 'no model'}",
                hint=hint,
            )
        with reading(locked.repo):
            verified = verify_on_volume(self.root, model, self.checks)
        folder = self.root / model.folder
        if verified.differences:
            raise integrity_error(verified.differences, model=locked.repo, folder=folder, hint=hint)
        return folder

    def _put_there_by_hand(self, commit: LockedCommit, hint: str) -> Path:
        """Return the folder on a volume without our metadata that is as the project's lock says."""
        from modelenv.loading.locked_folder import find_locked, unavailable
        from modelenv.volume.reading import check_put_there_by_hand

        store = Store(self.root, setting="MODEL_VOLUME_DIR")
        with reading(commit.model.repo):
            folder, verified = find_locked(store, commit.model, self.checks)
        check_put_there_by_hand(self.root, folder, model=commit.model.repo)
        if verified.differences:
            raise unavailable(store, commit.model, verified.differences, fetches=False)
        return folder

    def unlocked(self, commit: LockedCommit, path: str) -> tuple[LockedFile, Path] | None:
        """Return None: a volume has only locked files."""
        return None

    def is_known_absent(self, commit: LockedCommit, path: str) -> bool:
        """Return False: nothing is asked of the Hub, so nothing is remembered."""
        return False

    def close(self) -> None:
        """Remove the links."""
        remove_cache(self.cache)
