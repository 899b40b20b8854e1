"""Copies files so that everyone can read them, and syncs files and folders to the disk."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_FILE_MODE = 0o644
_CHUNK = 1 << 20  # bytes


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, make the copy readable for everyone, and sync it to the disk.

    Raises:
        OSError: A file cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
        writer.flush()
        os.fchmod(writer.fileno(), _FILE_MODE)
        os.fsync(writer.fileno())


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
