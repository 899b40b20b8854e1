"""What Hugging Face programs read on a volume with the layout `hub`: snapshots and references.

A path at a commit always has the same content, so a program never reads bytes of another commit, whenever it looks.
A new snapshot appears whole. In one that exists, files are only added, or replaced if they are damaged, each of them
atomically. It is removed as a whole after its commit is no longer locked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelenv.errors import ConfigurationError
from modelenv.locks.values import LockedModel
from modelenv.store.checks import Checks
from modelenv.store.verification import Difference, Kind
from modelenv.volume.layout import (
    Reference,
    Snapshot,
    VolumeLayout,
    content_of,
    layout_of,
    references_of,
    snapshots_of,
)
from modelenv.volume.metadata import VolumeMetadata, VolumeModel
from modelenv.volume.placing import OwnFiles
from modelenv.volume.reading import verify_on_volume


def wrong_references(root: Path, metadata: VolumeMetadata) -> Iterator[tuple[Reference, str | None]]:
    """Yield the references that do not name the commit in the metadata, and what they name, or None."""
    if layout_of(metadata) is VolumeLayout.HUB:
        for reference in references_of(metadata.lockfile.models):
            found = _read(root / reference.name)
            if found != reference.model.commit:
                yield reference, found


def separate_snapshots(metadata: VolumeMetadata) -> tuple[Snapshot, ...]:
    """Return the snapshots that the metadata does not name, because they have the files of several models."""
    if layout_of(metadata) is not VolumeLayout.HUB:
        return ()
    named = {model.folder for model in metadata.models}
    return tuple(each for each in snapshots_of(metadata.lockfile.models) if each.name not in named)


def lacking(root: Path, snapshot: Snapshot, checks: Checks) -> tuple[Difference, ...]:
    """Return the locked files that are missing or damaged in the snapshot. It can have other files, too.

    Raises:
        UnsafeModelError: A link is in the path of the snapshot.
    """
    verified = verify_on_volume(root, VolumeModel(snapshot.model, snapshot.name), checks)
    return tuple(each for each in verified.differences if each.kind is not Kind.EXTRA)


def check_not_of_others(root: Path, models: Sequence[LockedModel], ours: set[str], checks: Checks) -> None:
    """Check that another program did not create what Hugging Face programs would read instead of these models.

    Args:
        root: The folder of the volume.
        models: The models that the volume will have.
        ours: The snapshots and references that we created.
        checks: How files are checked.

    Raises:
        ConfigurationError: A snapshot or a reference exists that is not ours, and is not as locked.
        UnsafeModelError: A link is in the path of a snapshot.
    """
    for reference in references_of(models):
        name, commit = reference.name, reference.model.commit
        if name in ours or not os.path.lexists(root / name):
            continue
        there = _read(root / name)
        if there != commit:
            raise _of_others(root, name, f"a reference to {commit}", f"which names {there or 'no commit'}")
    for snapshot in snapshots_of(models):
        if snapshot.name in ours or not os.path.lexists(root / snapshot.name):
            continue
        if verify_on_volume(root, VolumeModel(snapshot.model, snapshot.name), checks).differences:
            raise _of_others(root, snapshot.name, "exactly the locked files", "which modelenv did not create")


def serve(own: OwnFiles, metadata: VolumeMetadata, *, unchanged: set[str], checks: Checks) -> None:
    """Complete the snapshots, and then write the references.

    Args:
        own: Our files on the volume.
        metadata: The metadata that the volume has or will have. The folders that it names are complete.
        unchanged: Snapshots that must not be changed now, because the current metadata names them.
        checks: How files are checked.

    Raises:
        OSError: The volume cannot be written.
        UnsafeModelError: A link is in a path.
    """
    if layout_of(metadata) is not VolumeLayout.HUB:
        return
    for snapshot in separate_snapshots(metadata):
        if snapshot.name not in unchanged:
            _complete(own, snapshot, metadata, checks)
    for reference, _ in wrong_references(own.root, metadata):
        own.write_reference(reference.name, reference.model.commit)


def _complete(own: OwnFiles, snapshot: Snapshot, metadata: VolumeMetadata, checks: Checks) -> None:
    model = snapshot.model
    same = [each for each in metadata.models if each.locked.ref == model.ref]
    sources = {file.path: own.root / each.folder for each in same for file in each.locked.files}
    if not (own.root / snapshot.name).exists():
        own.place_model(model, sources, snapshot.name, link=True)
        return
    missing = {difference.path for difference in lacking(own.root, snapshot, checks)}
    if missing:
        own.add(snapshot.name, content_of(model))
    for file in sorted(model.files, key=lambda file: -file.size):  # weights before the small files that name them
        if file.path in missing:
            own.place_file(sources[file.path] / file.path, f"{snapshot.name}/{file.path}")


def _read(path: Path) -> str | None:
    try:
        return None if path.is_symlink() else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _of_others(root: Path, name: str, expected: str, found: str) -> ConfigurationError:
    return ConfigurationError(
        "another program keeps its own Hugging Face cache in this folder",
        expected=expected,
        found=f"{root / name}, {found}",
        hint="use another folder, or remove what is there if no program needs it",
    )
