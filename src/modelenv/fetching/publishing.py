"""From blobs to what others see: the links of a snapshot, the reference that names it, and who put them there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from modelenv.files.claims import Made
from modelenv.files.disk import write_atomically, writing
from modelenv.locks.values import LockedModel
from modelenv.store.store import Store


def publish_snapshot(store: Store, locked: LockedModel, snapshot: Path, targets: Mapping[str, Path]) -> None:
    """Let files of the snapshot be links that lead there, and its revision name it; under the model's lock.

    What is about to be made is noted first, so that `prune` can tell it from what others have in the same cache.

    Raises:
        NoSpaceError, ConfigurationError: the store cannot be written.
    """
    ref = locked.ref
    # Where nobody named it, we do: other tools find the model by it.
    revision = locked.revision or "main"
    reference = snapshot.parent.parent / "refs" / revision
    is_named = locked.revision == locked.commit or os.path.lexists(reference)
    with writing(store.root, locked.repo):
        store.claims(ref, locked.commit).add(Made(frozenset(targets), frozenset(() if is_named else (revision,))))
        store.claim(ref, locked.commit)
        if not is_named:  # first: what comes last is what tells the next run that all is done
            write_atomically(reference, locked.commit)
        publish(store.staging(ref), snapshot, targets)


def publish(staged: Path, folder: Path, targets: Mapping[str, Path]) -> None:
    """Let the folder's files be links that lead there. A new folder appears at once, with all of its files.

    Raises:
        OSError: the store cannot be written.
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
