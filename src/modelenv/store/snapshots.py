"""Lists the snapshots in a store that has the Hugging Face cache layout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelenv.errors import ConfigurationError
from modelenv.files.layouts import CacheFolder, Layout
from modelenv.references import ModelRef, is_commit
from modelenv.store.records import is_unchanged
from modelenv.store.store import FoundModel, Store

_PREFIX = "models--"


@dataclass(frozen=True)
class Snapshot:
    """One model at one commit in a store.

    Attributes:
        ref: The model, with its commit as the revision.
        found: The folder of the snapshot.
        files: The number of files.
        size: The total size of the files in bytes.
    """

    ref: ModelRef
    found: FoundModel
    files: int
    size: int


def snapshots(store: Store) -> Iterator[Snapshot]:
    """Yield every snapshot in the store, sorted by name and commit. Folders with invalid model names are skipped."""
    for cache in (store.root, store.root / "hub"):
        for name in sorted(_names(cache)):
            if name.startswith(_PREFIX):
                folder = CacheFolder(cache / name).snapshots
                commits = sorted(commit for commit in _names(folder) if _ref(name, commit) is not None)
                yield from (_snapshot(store, name, folder / commit) for commit in commits)


def _snapshot(store: Store, name: str, path: Path) -> Snapshot:
    ref = _ref(name, path.name)
    assert ref is not None  # noqa: S101 - the caller checked it
    sizes = [
        file.stat().st_size
        for parent, _, names in os.walk(path)
        for file in (Path(parent) / name for name in names)
        if file.exists()
    ]
    checked = is_unchanged(path, store.known(ref, path.name))
    return Snapshot(ref, FoundModel(path, Layout.HUB_CACHE, path.name, checked), len(sizes), sum(sizes))


def _ref(folder: str, commit: str) -> ModelRef | None:
    if not is_commit(commit):
        return None
    try:
        return ModelRef(folder.removeprefix(_PREFIX).replace("--", "/"), commit)
    except ConfigurationError:
        return None


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []
