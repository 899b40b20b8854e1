"""What fetches that were killed left in a store: parts of files, and snapshots half put together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelenv.files.disk import write_atomically, writing
from modelenv.files.layouts import hub_cache_folders
from modelenv.references import ModelRef
from modelenv.store.store import Store

OWN_PART = ".modelenv.incomplete"
"""The suffix of files that modelenv itself is receiving."""


def remove_leftovers(store: Store, ref: ModelRef) -> None:
    """Remove the parts of files and snapshots that killed processes left; the caller holds the model's lock.

    Only our own parts: those with our suffix, and those that the client began during a fetch of ours that did not
    end (see `noting_parts`). What other programs left stays, since they may resume it, and so does a part that
    another program is downloading now: the client holds a lock of that file's name meanwhile.
    """
    from filelock import FileLock, Timeout

    if store.staging(ref).exists():
        with store.writing(ref.repo_id):
            shutil.rmtree(store.staging(ref))
    noted = _noted_parts(store, ref)
    for folder in hub_cache_folders(store.root, ref):
        for part in _parts(folder):
            if not part.name.endswith(OWN_PART) and (noted is None or part.name in noted):
                continue
            lock = folder.parent / ".locks" / folder.name / f"{part.name.partition('.')[0]}.lock"
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
    """Write down which parts are in the store before the client fetches; a fetch that is killed leaves this note.

    `huggingface_hub` 2.4 never goes on with a part: its name is used by one process once.
    """
    note = _parts_note(store, ref)
    names = [part.name for folder in hub_cache_folders(store.root, ref) for part in _parts(folder)]
    with writing(store.root, ref.repo_id):
        write_atomically(note, json.dumps(names))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _noted_parts(store: Store, ref: ModelRef) -> set[str] | None:
    """Return the parts that were there before a fetch of ours that did not end; None if every fetch ended."""
    try:
        names = json.loads(_parts_note(store, ref).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return set(map(str, names)) if isinstance(names, list) else None


def _parts_note(store: Store, ref: ModelRef) -> Path:
    return store.side(ref) / "parts.json"


def _parts(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("blobs/*.incomplete") if path.is_file())
