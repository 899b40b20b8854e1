"""Copies a locked file while hashing it, and syncs files and folders to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from modelenv.errors import ModelIntegrityError
from modelenv.files.hashing import CHUNK, Progress
from modelenv.locks.values import LockedFile

_FILE_MODE = 0o644


def copy_checked(
    source: Path, target: Path, file: LockedFile, *, model: str, progress: Progress | None = None
) -> None:
    """Copy a file, make the copy readable for everyone, and sync it to the disk.

    Raises:
        ModelIntegrityError: The content does not match the lock.
        OSError: A file cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            size += len(chunk)
            if progress is not None:
                progress(len(chunk))
        writer.flush()
        os.fchmod(writer.fileno(), _FILE_MODE)
        os.fsync(writer.fileno())
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        raise ModelIntegrityError(
            "a file does not match the lock, and was not copied",
            model=model,
            expected=f"{file.size} bytes, sha256 {file.sha256}",
            found=f"{size} bytes, sha256 {digest.hexdigest()} in {source}",
            hint="run `modelenv verify --full` and try again",
        )


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that its entries survive a power failure.

    Raises:
        OSError: The folder cannot be synced.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # this file system cannot sync folders
            raise
    finally:
        os.close(descriptor)
