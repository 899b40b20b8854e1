"""Reading a volume: what its metadata says it holds, and a model's folder on it, verified. Writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from modelenv.environment.sources import VOLUME_METADATA
from modelenv.errors import ModelEnvError, ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from modelenv.locks.locked_models import read_once
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.model_folder import check_model_folder
from modelenv.store.verification import Verified, integrity_error, verify_folder
from modelenv.volume.metadata import VolumeMetadata, VolumeModel, read_metadata

SIDE = ".modelenv"  # the folder on a volume with our own things
OWN_FOLDERS = f"{SIDE}/folders.json"


def volume_metadata(root: Path) -> VolumeMetadata | None:
    """Return what the volume's metadata says; None where there is none that modelenv wrote.

    A file of that name in another form, made by hand, marks a volume and says nothing about its files.

    Raises:
        LockfileError: it is damaged, or cannot be read.
    """
    return read_once(root / VOLUME_METADATA, read_metadata)


def own_folders(root: Path) -> Mapping[str, str] | None:
    """Return the folders that `pull --to` ever made, each with what tells its content from others.

    Relative to the root; some may be gone. None if the list of them cannot be read.
    """
    try:
        own = json.loads((root / OWN_FOLDERS).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(own, dict):
        return None
    return {name: str(content) for name, content in own.items() if _is_below(name)}


def check_put_there_by_hand(root: Path, folder: Path | None, *, model: str) -> None:
    """Check that what was found on a volume without our metadata is no part of a set that is not complete.

    Args:
        root: the volume.
        folder: the model's folder, or None if none was found.
        model: the model's name, for errors.

    Raises:
        ModelIntegrityError: `pull --to` made the folder, or may still do so.
    """
    if not os.path.lexists(root / SIDE):
        return
    own = own_folders(root)
    if folder is None or own is None or folder in {root / name for name in own}:
        raise ModelIntegrityError(
            "the volume is not complete: it has no metadata of modelenv",
            model=model,
            expected=f"{root / VOLUME_METADATA}, which `modelenv pull --to` writes last of all",
            found=f"{root / SIDE}, of a pull that is under way or was killed, or the metadata was removed",
            hint=f"wait for that pull, or run `modelenv pull --to {root}` where the volume may be written",
        )


def find_on_volume(
    root: Path,
    metadata: VolumeMetadata,
    ref: ModelRef,
    *,
    locked: LockedModel | None,
    checks: Checks,
    allow_pickle: bool = False,
) -> Path:
    """Return the model's folder on the volume, verified against the volume's metadata.

    Args:
        root: where the volume is mounted.
        metadata: what it says it holds.
        ref: the model, or one of the volume's aliases in place of a repo id.
        locked: what the project's lock says of the model, where there is one; the volume must hold that commit.
        checks: how files are checked.
        allow_pickle: whether pickled weights may be loaded.

    Raises:
        ModelNotFoundError: the volume does not hold the model.
        ModelIntegrityError: a file is missing, extra, changed or unreadable, or the volume has another commit.
        UnsafeModelError: a link is on the way, or its weights are pickled.
    """
    model = None if locked is None else metadata.holding(locked)
    if model is None:
        model = metadata.find(ref.repo_id, ref.revision)
    if model is None and not ref.revision:
        model = metadata.by_alias(ref.repo_id)
    if model is None:
        raise _not_on_volume(root, metadata, ref)
    if locked is not None and locked.commit != model.locked.commit:
        raise ModelIntegrityError(
            "the volume holds another commit than the lock names",
            model=ref.repo_id,
            expected=f"commit {locked.commit}, as in modelenv.lock",
            found=f"commit {model.locked.commit}, as in {root / VOLUME_METADATA}",
            hint=f"run `modelenv pull --to {root}` where the volume may be written",
        )
    verified = verify_on_volume(root, model, checks)
    folder = root / model.folder
    if verified.differences:
        hint = f"nothing was loaded; run `modelenv pull --to {root}` where the volume may be written"
        raise integrity_error(verified.differences, model=model.locked.repo, folder=folder, hint=hint)
    check_model_folder(folder, root=root, model=model.locked.repo, allow_pickle=allow_pickle)
    return folder


def verify_on_volume(root: Path, model: VolumeModel, checks: Checks) -> Verified:
    """Compare the model's folder with the metadata: every file, and no file besides.

    Raises:
        UnsafeModelError: the folder, or one on the way to it, is a link.
    """
    folder = root / model.folder
    check_no_link(root, folder, model=model.locked.repo)
    known = {} if checks.full else checks.memory.of(folder)
    verified = verify_folder(
        folder, model.locked, known=known, strict=True, allow_links=False,
        before_hashing=checks.before_hashing, progress=checks.progress,
    )  # fmt: skip
    if verified.fingerprints != known:
        checks.memory.remember(folder, verified.fingerprints)
    return verified


def check_no_link(root: Path, folder: Path, *, model: str) -> None:
    """Check that neither the folder nor one between it and the volume's root is a link.

    Raises:
        UnsafeModelError: one is.
    """
    for place in (folder, *folder.parents):
        if place == root:
            break
        if os.path.islink(place):  # noqa: PTH114 - says no to what it may not look at, where pathlib raises
            raise UnsafeModelError(
                "a link is on the way to the model's folder, and on a volume there are none",
                model=model,
                found=f"{place} -> {place.readlink()}",
                hint=f"remove the link, and run `modelenv pull --to {root}` where the volume may be written",
            )


def _is_below(name: str) -> bool:
    return not name.startswith(("/", ".")) and not {"..", "", "."} & set(name.split("/"))


def _not_on_volume(root: Path, metadata: VolumeMetadata, ref: ModelRef) -> ModelEnvError:
    pinned = sorted(model.locked.alias for model in metadata.models if model.locked.repo == ref.repo_id)
    if pinned:
        hint = (
            f"it holds the model at another revision: load it as {' or '.join(map(repr, pinned))}, or name a commit"
        )
    else:
        hint = "declare it in [tool.modelenv.models], run `modelenv lock`, and then `modelenv pull --to` the volume"
    held = ", ".join(f"{model.locked.repo} ({model.locked.commit[:12]})" for model in metadata.models[:10])
    return ModelNotFoundError(
        "not on this volume",
        model=str(ref),
        found=f"{root} holds {held or 'no model'}" + (", …" if len(metadata.models) > 10 else ""),
        tried=(str(root / VOLUME_METADATA),),
        hint=hint,
    )
