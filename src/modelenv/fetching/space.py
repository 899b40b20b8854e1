"""Checks that the files to fetch fit on the disk, from the sizes in the Hub's listing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelenv.files.layouts import cache_folders
from modelenv.references import ModelRef
from modelenv.store.store import Store


def check_space_for(store: Store, ref: ModelRef, siblings: Iterable[Any], files: Iterable[str]) -> None:
    """Check that the files that are missing in the store fit on its disk.

    Args:
        store: The store to which the files will be written.
        ref: The model.
        siblings: The files of the repo in the Hub's listing. A file without a size is not counted.
        files: The paths of the wanted files.

    Raises:
        NoSpaceError: The files do not fit.
    """
    wanted = set(files)
    sizes = {_blob(each): each.size for each in siblings if each.rfilename in wanted and each.size is not None}
    blobs = cache_folders(store.root, ref)[0].blobs
    store.check_space(ref.repo_id, missing_bytes(store.root, blobs, sizes))


def missing_bytes(root: Path, blobs: Path, sizes: Mapping[str, int]) -> int:
    """Return the total size of the missing blobs.

    `huggingface_hub` 2.4 keeps one copy of a file that several repos share, under a name that we do not know. So a
    blob counts as existing if a shared copy has the same size: it is better to try than to refuse wrongly.
    """
    missing = {name: size for name, size in sizes.items() if _size(blobs / name) != size}
    shared = _shared_sizes(root / "blobs") if missing else set()
    return sum(size for size in missing.values() if size not in shared)


def _blob(sibling: Any) -> str:
    """Return the name of a file's blob in the cache."""
    return str(sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id or sibling.rfilename)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _shared_sizes(folder: Path) -> set[int]:
    return {
        size
        for parent, _, names in os.walk(folder)
        for name in names
        if (size := _size(Path(parent) / name)) is not None
    }
