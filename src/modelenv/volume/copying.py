"""Copying one locked file, hashed while it is copied, and handing it and its folder to the disk."""

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
    """Copy a file for anybody to read, and hand it to the disk.

    Raises:
        ModelIntegrityError: its content is not what the lock says.
        OSError: it cannot be read or written.
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
            "a file is not as locked, and was not copied",
            model=model,
            expected=f"{file.size} bytes, sha256 {file.sha256}",
            found=f"{size} bytes, sha256 {digest.hexdigest()} in {source}",
            hint="run `modelenv verify --full`, and try again",
        )


def sync_folder(folder: Path) -> None:
    """Let the disk have what was written to the folder, before anything says that it is there.

    Raises:
        OSError: it cannot be handed to the disk.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot do this for folders
            raise
    finally:
        os.close(descriptor)
