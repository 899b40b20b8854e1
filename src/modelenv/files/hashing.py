"""The sha256 of many files at once: hashing releases the interpreter's lock, so threads use several cores."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  # bytes read at once: below some 100 kB, the switches between threads cost more than the hashing
_FEW = 4 << 20  # bytes that one thread hashes sooner than others have started
_MOST_THREADS = 8  # beyond this the disk is the limit, and each thread holds a chunk

Progress = Callable[[int], None]
"""Called with the number of bytes that were just dealt with, from any thread."""


@dataclass(frozen=True)
class Fingerprint:
    """What changes when a file's content does, without reading it; and the hash that its content had then.

    Attributes:
        size: in bytes.
        mtime_ns: when it was last changed.
        inode: which file it is.
        sha256: of its content when it had all of these; None where it was never hashed.
    """

    size: int
    mtime_ns: int
    inode: int
    sha256: str | None = None

    @classmethod
    def of(cls, state: os.stat_result, sha256: str | None = None) -> Fingerprint:
        """Return the fingerprint for what `stat` said."""
        return cls(state.st_size, state.st_mtime_ns, state.st_ino, sha256)

    def is_same_file(self, other: Fingerprint) -> bool:
        """Whether nothing shows that the file changed between the two."""
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hash_files(
    paths: Iterable[Path], *, progress: Progress | None = None, threads: int | None = None
) -> dict[Path, Fingerprint | OSError]:
    """Return for each file its fingerprint with the sha256 of its content, or why it could not be read.

    Args:
        paths: the files; a link is followed.
        progress: called for every chunk.
        threads: how many files are read at a time; by default one for each core, and one alone for a few bytes.
    """
    files = list(dict.fromkeys(paths))
    if threads is None:
        few = len(files) < 2 or sum(map(_size, files)) < _FEW
        threads = 1 if few else min(cores(), _MOST_THREADS)
    if threads == 1:
        return {path: hash_file(path, progress) for path in files}
    largest_first = sorted(files, key=_size, reverse=True)  # the last to end is then a small one
    with ThreadPoolExecutor(min(threads, len(files)), "modelenv-hash") as pool:
        hashed = pool.map(lambda path: hash_file(path, progress), largest_first)
        return dict(zip(largest_first, hashed, strict=True))


def hash_file(path: Path, progress: Progress | None = None) -> Fingerprint | OSError:
    """Return the file's fingerprint with its sha256, or why it could not be read.

    What `stat` says is taken before the first byte is read: a change meanwhile makes the fingerprint stale.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting
            return OSError(0, "this is not a file", str(path))
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
