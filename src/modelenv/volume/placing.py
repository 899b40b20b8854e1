"""Puts folders and files of ours on a volume, each complete and checked, and removes them.

Everything is prepared in a temporary folder on the volume and then renamed, so that no reader sees a part of it. A
list on the volume names what we created; nothing else is ever changed or removed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelenv.files.disk import write_atomically
from modelenv.files.hashing import Progress
from modelenv.locks.values import LockedModel
from modelenv.store.verification import integrity_error, verify_folder
from modelenv.volume.copying import copy_file, link_or_copy, sync_folder, write_file
from modelenv.volume.layout import content_of
from modelenv.volume.reading import OWN_FOLDERS, SIDE, check_no_link, own_folders

NO_MODEL = "the volume"
FOLDER_MODE = 0o755
_FOR_ANYBODY = 0o555


@dataclass(frozen=True)
class OwnFiles:
    """The folders and files on a volume that we created.

    Attributes:
        root: The folder of the volume.
        progress: Called with the number of bytes that were just processed.
    """

    root: Path
    progress: Progress | None = None

    def listed(self) -> Mapping[str, str]:
        """Return all paths that we have ever created, with their content. Empty if the list cannot be read.

        The content of a folder is `content_of` its model, and that of a reference is its commit.
        """
        return own_folders(self.root) or {}

    def check_links(self, names: Iterable[str]) -> None:
        """Check that no link is in a path that will be written or removed.

        Raises:
            UnsafeModelError: There is a link.
        """
        for name in (f"{SIDE}/staging", *names, *self.listed()):
            place = self.root / name
            check_no_link(self.root, place if name.startswith(SIDE) else place.parent, model=NO_MODEL)

    def superfluous(self, kept: set[str]) -> tuple[str, ...]:
        """Return the existing folders and references of ours that are not in `kept`.

        A reference that another program has written since is not ours.
        """
        return tuple(
            name for name, content in sorted(self.listed().items())
            if name not in kept and self._is_ours(self.root / name, content)
        )  # fmt: skip

    def place_model(self, model: LockedModel, sources: Mapping[str, Path], name: str, *, link: bool = False) -> None:
        """Copy the model to a temporary folder, and rename the folder once every byte is checked.

        Args:
            model: The model.
            sources: For each of its files, the folder in which the file is.
            name: The new folder, which must not exist.
            link: Whether the sources are on the same volume, so that files need not be copied.

        Raises:
            ModelIntegrityError: The copied files do not match the lock.
        """
        with self._staging() as staged:
            for file in model.files:
                (link_or_copy if link else copy_file)(sources[file.path] / file.path, staged / file.path)
            for folder in (staged, *(path for path in staged.rglob("*") if path.is_dir())):
                folder.chmod(FOLDER_MODE)
                sync_folder(folder)
            copied = verify_folder(staged, model, strict=True, allow_links=False, progress=self.progress)
            if copied.differences:
                raise integrity_error(
                    copied.differences,
                    model=model.repo,
                    folder=staged,
                    hint="run `modelenv verify --full`, which checks the files in "
                    f"{' and '.join(sorted(map(str, {*sources.values()})))}; check the volume's disk; run this again",
                    what="the copied files do not match the lock",
                )
            self._rename(staged, name, content_of(model))

    def place_file(self, source: Path, name: str) -> None:
        """Put a file of a checked folder on the volume into another folder of ours, atomically."""
        with self._staging() as staged:
            link_or_copy(source, staged / "file")
            self._rename(staged / "file", name)

    def write_reference(self, name: str, commit: str) -> None:
        """Write a reference, atomically and readable for everyone."""
        with self._staging() as staged:
            write_file(staged / "reference", commit)
            self._rename(staged / "reference", name, commit)

    def add(self, name: str, content: str) -> None:
        """Add the path to the list."""
        owned = {**self.listed(), name: content}
        write_atomically(self.root / OWN_FOLDERS, json.dumps(owned, indent=1, sort_keys=True) + "\n")

    def discard(self, names: Iterable[str]) -> None:
        """Move each of the folders and references away, and then remove it, so that no reader sees a part of it."""
        for name in names:
            with self._staging() as staged:
                staged.mkdir(parents=True)
                (self.root / name).rename(staged / "discarded")

    def _is_ours(self, path: Path, content: str) -> bool:
        if path.is_symlink():
            return False
        return path.is_dir() or (path.is_file() and path.read_text() == content)

    def _rename(self, staged: Path, name: str, content: str | None = None) -> None:
        target = self.root / name
        if content is not None:
            self.add(name, content)
        check_no_link(self.root, target.parent, model=NO_MODEL)
        for parent in reversed([place for place in target.parents if self.root in place.parents]):
            parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            if stat.S_IMODE(parent.stat().st_mode) & _FOR_ANYBODY != _FOR_ANYBODY:  # created by others
                parent.chmod(FOLDER_MODE)
        staged.replace(target)
        sync_folder(target.parent)

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """Context manager: the path of a new temporary folder on the volume, which is removed at the end."""
        staged = self.root / SIDE / "staging" / uuid.uuid4().hex
        try:
            yield staged
        finally:
            if os.path.lexists(staged):
                shutil.rmtree(staged)
