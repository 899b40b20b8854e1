"""The store's records of snapshots: the fingerprints of the files, and whether the snapshot is complete."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelenv.files.hashing import Fingerprint
from modelenv.store.verification import scan

_FORMAT = 3
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """The record of a snapshot.

    Attributes:
        files: The fingerprints of its files when they were checked.
        whole: Whether a load needs no further file, according to the Hub's listing. A snapshot that was filled for a
            lock, or that was adopted while the Hub could not be reached, can lack some.
    """

    files: Mapping[str, Fingerprint] = field(default_factory=dict)
    whole: bool = False


def read_record(path: Path) -> Record:
    """Read a record. A missing or damaged record is read as empty, which only costs another check."""
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            return Record()
        files = {name: _fingerprint(entry) for name, entry in document["files"].items()}
        return Record(files, document["whole"] is True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Record()


def format_record(record: Record) -> str:
    """Return the text of a record."""
    files = {
        name: [known.size, known.mtime_ns, known.inode, known.sha256] for name, known in sorted(record.files.items())
    }
    return json.dumps({"format": _FORMAT, "whole": record.whole, "files": files}, indent=1) + "\n"


def is_unchanged(folder: Path, known: Mapping[str, Fingerprint]) -> bool:
    """Whether the folder has exactly the files in the record, each with its recorded fingerprint."""
    there, broken = scan(folder, allow_links=True)
    return (
        bool(known)
        and not broken
        and there.keys() == known.keys()
        and all(known[name].is_same_file(seen) for name, seen in there.items())
    )


def fingerprints_of(folder: Path) -> dict[str, Fingerprint]:
    """Return the fingerprints of a checked snapshot. The hash is taken from the blob's name if that is a sha256."""
    there, _ = scan(folder, allow_links=True)
    return {
        name: Fingerprint(seen.size, seen.mtime_ns, seen.inode, _stated_hash(folder / name))
        for name, seen in there.items()
    }


def _stated_hash(file: Path) -> str | None:
    blob = file.readlink().name if file.is_symlink() else ""
    return blob if _SHA256.fullmatch(blob) else None


def _fingerprint(entry: Any) -> Fingerprint:
    size, mtime_ns, inode, sha256 = entry  # the caller catches the error if the entry has another form
    if not all(type(number) is int for number in (size, mtime_ns, inode)):
        raise TypeError(entry)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ValueError(entry)
    return Fingerprint(size, mtime_ns, inode, sha256)
