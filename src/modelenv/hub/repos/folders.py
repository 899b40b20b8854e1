"""Served folders: the files that are served, and the current commit."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from modelenv.hub.repos.commits import Snapshot, folder_snapshot
from modelenv.hub.repos.content import FoundFile, ServedFile, hash_file, served_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.hub.repos.blobs import BlobStore


class ServedFolder:
    """A folder served as a repository. Each file is hashed once per path, size and modification time.

    Args:
        path: The folder.
        blobs: Stores copies of served files, so that earlier commits remain available. None stores nothing.
        known, served: The files hashed before: by the file on disk, and by path at the last snapshot.
    """

    def __init__(
        self,
        path: Path,
        blobs: BlobStore | None,
        known: Mapping[FoundFile, ServedFile] = MappingProxyType({}),
        served: Mapping[str, ServedFile] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self._blobs = blobs
        self._known = known  # both are replaced, never changed
        self._served = served

    def copy(self, blobs: BlobStore) -> ServedFolder:
        """Return a copy that reuses the hashes computed so far, and stores new files in `blobs`."""
        return ServedFolder(self.path, blobs, self._known, self._served)

    def listing(self) -> tuple[FoundFile, ...]:
        """Return the served files, sorted by path, without reading them.

        Not served are dot-folders such as `.git` and `.cache`, anything that is not a regular file, linked folders,
        and links to files outside the repository or in a dot-folder of it.
        """
        top = self.path.resolve()
        found = []
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            found += [file for name in names if (file := _file_in(top, Path(folder) / name)) is not None]
        return tuple(sorted(found, key=lambda file: file.path))

    def snapshot(self, previous: Snapshot | None) -> Snapshot:
        """Return the current commit of the folder. Returns `previous` if nothing has changed since the last call."""
        files = self.listing()
        if previous is not None and previous.files is self._served and tuple(self._known) == files:
            return previous
        self._known = {file: self._known[file] if file in self._known else self._hashed(file) for file in files}
        self._served = {file.path: served for file, served in self._known.items()}
        return folder_snapshot(self._served, previous)

    def _hashed(self, file: FoundFile) -> ServedFile:
        if self._blobs is None:
            return served_file(file, hash_file(file))
        return self._blobs.keep_file(file)


def _file_in(top: Path, location: Path) -> FoundFile | None:
    path = location.relative_to(top).as_posix()
    try:
        target = location.resolve(strict=True) if location.is_symlink() else location
        status = target.stat()
        path.encode()
    except (OSError, RuntimeError, UnicodeEncodeError):
        # A broken or circular link (RuntimeError before Python 3.13), a file that was just removed, or a name that is
        # not UTF-8.
        return None
    inside = target.is_relative_to(top) and not any(
        part.startswith(".") for part in target.relative_to(top).parts[:-1]
    )
    if not inside or not stat.S_ISREG(status.st_mode):
        return None
    return FoundFile(path, target, status.st_size, status.st_mtime_ns)
