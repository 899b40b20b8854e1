"""The Hub's own storage: the contents of pushed files, and of a served folder's files at earlier commits."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import uuid
import weakref
from dataclasses import replace
from pathlib import Path

from modelenv.forks import new_lock, only_here
from modelenv.hub.repos.content import FoundFile, ServedFile, git_id, hash_file, lfs_pointer, served_file

# Larger files of a served folder are not copied: they are served from the folder, and lost once they change there.
_COPIED_BYTES = 64 * 1024 * 1024


class BlobStore:
    """Files named by the hash of their content, in a private folder.

    Args:
        folder: The folder, which is kept afterwards. None creates a temporary folder for the first file, and removes
            it when the store is no longer used, at the latest when the process ends.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = new_lock()

    def find(self, digest: str) -> Path | None:
        """Return the path of the file with this hash, or None if it is not stored."""
        if self._folder is None or not digest.isalnum():
            return None
        path = self._folder / digest[:2] / digest
        return path if path.is_file() else None

    def temporary(self) -> Path:
        """Return an unused path for content whose hash is not known yet."""
        return self._top() / f"incoming-{uuid.uuid4().hex}"

    def adopt(self, temporary: Path, digest: str) -> Path:
        """Move the file at `temporary` into the store, under its hash."""
        path = self._top() / digest[:2] / digest
        path.parent.mkdir(exist_ok=True)
        temporary.replace(path)
        return path

    def keep_bytes(self, path: str, content: bytes) -> ServedFile:
        """Store the content of `path`, a regular file of a repository, and return the file with its ids."""
        digest = git_id("blob", content)
        location = self.find(digest)
        if location is None:
            temporary = self.temporary()
            temporary.write_bytes(content)
            location = self.adopt(temporary, digest)
        return ServedFile(_found(path, location), blob_id=digest, sha256=None)

    def lfs_file(self, path: str, sha256: str) -> ServedFile | None:
        """Return `path`, an LFS file of a repository, with its ids, or None if its content was not uploaded."""
        location = self.find(sha256)
        if location is None:
            return None
        found = _found(path, location)
        return ServedFile(found, blob_id=git_id("blob", lfs_pointer(sha256, found.size)), sha256=sha256)

    def keep_file(self, found: FoundFile) -> ServedFile:
        """Hash a file of a served folder, and store a copy of it if it is not too large."""
        if found.size > _COPIED_BYTES:
            return served_file(found, hash_file(found))
        if not found.lfs:
            regular = self.keep_bytes(found.path, found.location.read_bytes())
            return replace(regular, found=replace(regular.found, mtime_ns=found.mtime_ns))
        temporary = self.temporary()
        shutil.copyfile(found.location, temporary)
        copied = FoundFile(found.path, temporary, temporary.stat().st_size, found.mtime_ns)
        served = served_file(copied, hash_file(copied))
        location = self.adopt(temporary, served.etag)
        return ServedFile(FoundFile(found.path, location, copied.size, found.mtime_ns), served.blob_id, served.sha256)

    def _top(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="modelenv-hub-"))
                weakref.finalize(self, only_here(shutil.rmtree), self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._folder


def _found(path: str, location: Path) -> FoundFile:
    status = location.stat()
    return FoundFile(path, location, status.st_size, status.st_mtime_ns)


class Incoming:
    """An upload in progress, which is written and hashed piece by piece."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._path = blobs.temporary()
        self._stream = self._path.open("wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Write the next piece."""
        self._stream.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def finish(self, sha256: str, size: int) -> bool:
        """Store the upload if its hash and size match, else discard it. Returns whether they match."""
        self._stream.close()
        if (self._hash.hexdigest(), self.size) != (sha256, size):
            self.drop()
            return False
        self._blobs.adopt(self._path, sha256)
        return True

    def drop(self) -> None:
        """Discard the upload."""
        self._stream.close()
        self._path.unlink(missing_ok=True)
