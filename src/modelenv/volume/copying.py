"""Copies files so that everyone can read them, and syncs files and folders to the disk."""

from __future__ import annotations

import errno
import os
import shutil
import stat
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


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file on the same disk a second name, which needs no space, or copy it if the disk cannot do that.

    Raises:
        OSError: A file cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if stat.S_IMODE(source.stat().st_mode) == _FILE_MODE:  # both names have the same mode
            target.hardlink_to(source)
            return
    except OSError:
        pass  # not supported, too many names, or not permitted for another user's file
    copy_file(source, target)


def write_file(target: Path, text: str) -> None:
    """Write a new small file that everyone can read, and sync it to the disk.

    Raises:
        OSError: The file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("x", encoding="utf-8") as writer:
        writer.write(text)
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
