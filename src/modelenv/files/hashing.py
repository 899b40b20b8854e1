"""Computes the sha256 of many files on several threads. Hashing releases the GIL, so threads use several cores."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  # bytes per read: below about 100 kB, switching threads costs more than hashing
_FEW = 4 << 20  # bytes that one thread hashes before other threads would have started
_MOST_THREADS = 8  # with more threads the disk is the limit, and each needs memory for a chunk

Progress = Callable[[int], None]
"""Called from any thread with the number of bytes that were just processed."""


@dataclass(frozen=True)
class Fingerprint:
    """The `stat` values of a file that change when its content does, and the hash of that content.

    Attributes:
        size: The size in bytes.
        mtime_ns: The time of the last change.
        inode: The inode number.
        sha256: The sha256 of the content that the file had with these values, or None if it was not hashed.
    """

    size: int
    mtime_ns: int
    inode: int
    sha256: str | None = None

    @classmethod
    def of(cls, state: os.stat_result, sha256: str | None = None) -> Fingerprint:
        """Return the fingerprint for a `stat` result."""
        return cls(state.st_size, state.st_mtime_ns, state.st_ino, sha256)

    def is_same_file(self, other: Fingerprint) -> bool:
        """Whether the two have the same size, time and inode, so that the file probably did not change in between."""
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)


def cores() -> int:
    """Return the number of cores that this process can use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hash_files(
    paths: Iterable[Path], *, progress: Progress | None = None, threads: int | None = None
) -> dict[Path, Fingerprint | OSError]:
    """Return the fingerprint of each file with its sha256, or the error if it could not be read.

    Args:
        paths: The files; links are followed.
        progress: Called for every chunk.
        threads: The number of files to read at a time; by default one per core, or one in all for a few bytes.
    """
    files = list(dict.fromkeys(paths))
    if threads is None:
        few = len(files) < 2 or sum(map(_size, files)) < _FEW
        threads = 1 if few else min(cores(), _MOST_THREADS)
    if threads == 1:
        return {path: hash_file(path, progress) for path in files}
    largest_first = sorted(files, key=_size, reverse=True)  # so that no thread starts a large file last
    with ThreadPoolExecutor(min(threads, len(files)), "modelenv-hash") as pool:
        hashed = pool.map(lambda path: hash_file(path, progress), largest_first)
        return dict(zip(largest_first, hashed, strict=True))


def hash_file(path: Path, progress: Progress | None = None) -> Fingerprint | OSError:
    """Return the file's fingerprint with its sha256, or the error if it could not be read.

    `stat` is called before the first byte is read, so a change during hashing makes the fingerprint stale.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block
            return OSError(0, "not a regular file", str(path))
        with path.open("rb", buffering=0) as file:
            state = os.fstat(file.fileno())
            digest, buffer = hashlib.sha256(), bytearray(max(1, min(CHUNK, state.st_size + 1)))
            view = memoryview(buffer)
            while count := file.readinto(buffer):
                digest.update(view[:count])
                if progress is not None:
                    progress(count)
    except OSError as error:
        return error
    return Fingerprint.of(state, digest.hexdigest())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
