"""Hashing many files at once gives the same hashes as `hashlib`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from modelenv.files.hashing import Fingerprint, hash_file, hash_files


def test_each_file_has_the_hash_that_hashlib_gives(tmp_path: Path) -> None:
    sizes = [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 7]
    paths = [tmp_path / str(size) for size in sizes]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(os.urandom(size))
    for threads in (None, 1, 4):
        found = hash_files(paths, threads=threads)
        assert {path: known.sha256 for path, known in found.items() if isinstance(known, Fingerprint)} == {
            path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
        }


def test_progress_reports_every_byte_once(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).write_bytes(bytes(2**21 + number))
    told: list[int] = []
    hash_files(tmp_path.iterdir(), progress=told.append)
    assert sum(told) == 3 * 2**21 + 3


def test_a_file_that_cannot_be_read_is_reported_and_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")
    os.mkfifo(tmp_path / "pipe")
    found = hash_files([tmp_path / name for name in ("missing", "pipe", "good")], threads=2)
    assert isinstance(found[tmp_path / "missing"], FileNotFoundError)
    assert "not a regular file" in str(found[tmp_path / "pipe"])
    assert isinstance(found[tmp_path / "good"], Fingerprint)


@pytest.mark.parametrize("change", ["size", "mtime_ns", "inode"])
def test_a_fingerprint_detects_each_change(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before = hash_file(path)
    assert isinstance(before, Fingerprint)
    assert before.is_same_file(Fingerprint.of(path.stat()))
    if change == "size":
        path.write_bytes(b"content and more")
        os.utime(path, ns=(before.mtime_ns, before.mtime_ns))
    elif change == "mtime_ns":
        os.utime(path, ns=(before.mtime_ns + 1, before.mtime_ns + 1))
    else:
        (tmp_path / "other").write_bytes(b"content")
        os.utime(tmp_path / "other", ns=(before.mtime_ns, before.mtime_ns))
        (tmp_path / "other").replace(path)
    assert not before.is_same_file(Fingerprint.of(path.stat()))
