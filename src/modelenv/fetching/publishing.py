"""Makes fetched blobs visible: creates the links of a snapshot and the reference to it, and records both as ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from modelenv.files.claims import Made
from modelenv.files.disk import write_atomically, writing
from modelenv.files.layouts import CacheFolder
from modelenv.locks.values import LockedModel
from modelenv.store.store import Store


def publish_snapshot(store: Store, locked: LockedModel, snapshot: Path, targets: Mapping[str, Path]) -> None:
    """Create links to `targets` in the snapshot, and the reference to it. The caller holds the model's lock.

    They are recorded first, so that `prune` can tell them from the files of other programs in the same cache.

    Raises:
        NoSpaceError, ConfigurationError: The store cannot be written.
    """
    ref = locked.ref
    # If the reference does not exist, we create it, so that other tools find the model.
    revision = locked.revision or "main"
    reference = CacheFolder.of_snapshot(snapshot).refs / revision
    is_named = locked.revision == locked.commit or os.path.lexists(reference)
    with writing(store.root, locked.repo):
        store.claims(ref, locked.commit).add(Made(frozenset(targets), frozenset(() if is_named else (revision,))))
        store.claim(ref, locked.commit)
        if not is_named:  # first, because the next run takes the links as the sign that everything is done
            write_atomically(reference, locked.commit)
        publish(store.staging(ref), snapshot, targets)


def publish(staged: Path, folder: Path, targets: Mapping[str, Path]) -> None:
    """Create links to `targets` in the folder. A new folder appears atomically, with all of its files.

    Raises:
        OSError: The store cannot be written.
    """
    is_new = not folder.is_dir()
    staged.mkdir(parents=True)
    for path, target in targets.items():
        link = staged / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, (folder / path).parent))
    if is_new:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(folder)
        return
    for path in targets:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (staged / path).replace(folder / path)
    shutil.rmtree(staged)
