"""Removes what killed fetches left in a store: parts of files, and incomplete snapshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelenv.files.disk import write_atomically, writing
from modelenv.files.layouts import CacheFolder, cache_folders
from modelenv.references import ModelRef
from modelenv.store.store import Store

OWN_PART = ".modelenv.incomplete"
"""The suffix of files that modelenv itself is downloading."""


def remove_leftovers(store: Store, ref: ModelRef) -> None:
    """Remove the parts of files and snapshots that killed processes left. The caller holds the model's lock.

    Only our own parts are removed: those with our suffix, and those that the client began during a fetch of ours that
    was killed (see `noting_parts`). Parts of other programs stay, since these can resume them. A part that another
    program is downloading stays too: the client holds a lock with that file's name meanwhile.
    """
    from filelock import FileLock, Timeout

    if store.staging(ref).exists():
        with store.writing(ref.repo_id):
            shutil.rmtree(store.staging(ref))
    noted = _noted_parts(store, ref)
    for folder in cache_folders(store.root, ref):
        for part in _parts(folder):
            if not part.name.endswith(OWN_PART) and (noted is None or part.name in noted):
                continue
            lock = folder.path.parent / ".locks" / folder.path.name / f"{part.name.partition('.')[0]}.lock"
            with store.writing(ref.repo_id):
                lock.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with FileLock(lock, timeout=0):
                        part.unlink(missing_ok=True)
                except Timeout:
                    continue
    with writing(store.root, ref.repo_id):
        _parts_note(store, ref).unlink(missing_ok=True)


@contextmanager
def noting_parts(store: Store, ref: ModelRef) -> Iterator[None]:
    """Context manager: record which parts exist before the client fetches. A killed fetch leaves the record behind.

    `huggingface_hub` 2.4 never resumes a part: its name is used once, by one process.
    """
    note = _parts_note(store, ref)
    names = [part.name for folder in cache_folders(store.root, ref) for part in _parts(folder)]
    with writing(store.root, ref.repo_id):
        write_atomically(note, json.dumps(names))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _noted_parts(store: Store, ref: ModelRef) -> set[str] | None:
    """Return the parts that existed before a fetch of ours that was killed, or None if no fetch was killed."""
    try:
        names = json.loads(_parts_note(store, ref).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return set(map(str, names)) if isinstance(names, list) else None


def _parts_note(store: Store, ref: ModelRef) -> Path:
    return store.side(ref) / "parts.json"


def _parts(cache: CacheFolder) -> list[Path]:
    return sorted(path for path in cache.blobs.glob("*.incomplete") if path.is_file())
