"""What a store in the Hugging Face cache layout holds, one snapshot at a time, and taking snapshots away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelenv.errors import ConfigurationError
from modelenv.files.disk import writing
from modelenv.files.layouts import Layout
from modelenv.references import ModelRef
from modelenv.store.records import is_unchanged
from modelenv.store.store import FoundModel, Store

_PREFIX = "models--"


@dataclass(frozen=True)
class Snapshot:
    """One model at one commit in a store.

    Attributes:
        ref: the model, with its commit.
        found: its folder.
        files: how many files it has.
        size: their bytes.
    """

    ref: ModelRef
    found: FoundModel
    files: int
    size: int


def snapshots(store: Store) -> Iterator[Snapshot]:
    """Yield every snapshot in the store, by name and commit. Folders that no model can have are passed over."""
    for cache in (store.root, store.root / "hub"):
        for name in sorted(_names(cache)):
            if name.startswith(_PREFIX):
                folder = cache / name / "snapshots"
                commits = sorted(commit for commit in _names(folder) if _ref(name, commit) is not None)
                yield from (_snapshot(store, name, folder / commit) for commit in commits)


def unreferenced_blobs(cache: Path, without: Iterable[str] = ()) -> list[Path]:
    """Return the blobs of one model's folder that no snapshot leads to, but those of the commits `without`."""
    kept = [cache / "snapshots" / name for name in set(_names(cache / "snapshots")).difference(without)]
    used = {
        os.path.basename(os.readlink(Path(parent) / name))  # noqa: PTH115, PTH119 - text is all that is needed
        for snapshot in kept
        for parent, _, names in os.walk(snapshot)
        for name in names
        if (Path(parent) / name).is_symlink()
    }
    return [cache / "blobs" / name for name in sorted(_names(cache / "blobs")) if name not in used]


def remove_snapshot(store: Store, snapshot: Snapshot) -> None:
    """Take a snapshot away, with the references to it. The caller holds the model's lock.

    Raises:
        ConfigurationError: the store cannot be written.
    """
    with writing(store.root, snapshot.ref.repo_id):
        cache = snapshot.found.path.parent.parent
        for reference in [Path(parent) / name for parent, _, names in os.walk(cache / "refs") for name in names]:
            if reference.read_text(encoding="utf-8").strip() == snapshot.ref.revision:
                reference.unlink()
        shutil.rmtree(snapshot.found.path)
        store.forget(snapshot.ref, snapshot.found.path.name)


def remove_files(store: Store, model: str, files: Iterable[Path]) -> None:
    """Remove files of a store that nothing leads to. The caller holds the model's lock.

    Raises:
        ConfigurationError: the store cannot be written.
    """
    with writing(store.root, model):
        for path in files:
            path.unlink(missing_ok=True)


def set_aside_files(store: Store) -> list[Path]:
    """Return the files that were set aside as damaged."""
    folder = store.root / ".locks" / "modelenv" / "damaged"
    return sorted(Path(parent) / name for parent, _, names in os.walk(folder) for name in names)


def _snapshot(store: Store, name: str, path: Path) -> Snapshot:
    ref = _ref(name, path.name)
    assert ref is not None  # noqa: S101 - asked before
    sizes = [
        file.stat().st_size
        for parent, _, names in os.walk(path)
        for file in (Path(parent) / name for name in names)
        if file.exists()
    ]
    checked = is_unchanged(path, store.known(ref, path.name))
    return Snapshot(ref, FoundModel(path, Layout.HUB_CACHE, path.name, checked), len(sizes), sum(sizes))


def _ref(folder: str, commit: str) -> ModelRef | None:
    try:
        return ModelRef(folder.removeprefix(_PREFIX).replace("--", "/"), commit)
    except ConfigurationError:
        return None


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []
