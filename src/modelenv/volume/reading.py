"""Reads a volume: its metadata, and the verified folder of a model. Writes nothing."""

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

SIDE = ".modelenv"  # the folder on a volume for our own files
OWN_FOLDERS = f"{SIDE}/folders.json"


def volume_metadata(root: Path) -> VolumeMetadata | None:
    """Return the volume's metadata, or None if there is no metadata that modelenv wrote.

    A metadata file that was written by hand in another form marks a volume, but says nothing about its files.

    Raises:
        LockfileError: The metadata is damaged, or cannot be read.
    """
    return read_once(root / VOLUME_METADATA, read_metadata)


def own_folders(root: Path) -> Mapping[str, str] | None:
    """Return the folders that `pull --to` has ever created, each with an identifier of its content.

    The paths are relative to the root. Some of the folders can be gone. Returns None if the list cannot be read.
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
    """Check that a model on a volume without our metadata is not part of an incomplete `pull --to`.

    Args:
        root: The root of the volume.
        folder: The model's folder, or None if it was not found.
        model: The model's name, for errors.

    Raises:
        ModelIntegrityError: `pull --to` created the folder, or could still do so.
    """
    if not os.path.lexists(root / SIDE):
        return
    own = own_folders(root)
    if folder is None or own is None or folder in {root / name for name in own}:
        raise ModelIntegrityError(
            "the volume is incomplete: it has no metadata from modelenv",
            model=model,
            expected=f"{root / VOLUME_METADATA}, which `modelenv pull --to` writes last",
            found=f"{root / SIDE}: a pull is running or was killed, or the metadata was removed",
            hint=f"wait for that pull, or run `modelenv pull --to {root}` where the volume can be written",
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
        root: The folder where the volume is mounted.
        metadata: The volume's metadata.
        ref: The model. One of the volume's aliases can take the place of the repo id.
        locked: The model in the project's lock, if there is one. The volume must have the same commit.
        checks: The options for checking files.
        allow_pickle: Whether pickled weights are allowed.

    Raises:
        ModelNotFoundError: The volume does not contain the model.
        ModelIntegrityError: A file is missing, extra, changed or unreadable, or the volume has another commit.
        UnsafeModelError: A link is in the path of the model's folder, or its weights are pickled.
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
            "the volume has a different commit than the lock",
            model=ref.repo_id,
            expected=f"commit {locked.commit}, as in modelenv.lock",
            found=f"commit {model.locked.commit}, as in {root / VOLUME_METADATA}",
            hint=f"run `modelenv pull --to {root}` where the volume can be written",
        )
    verified = verify_on_volume(root, model, checks)
    folder = root / model.folder
    if verified.differences:
        hint = f"nothing was loaded; run `modelenv pull --to {root}` where the volume can be written"
        raise integrity_error(verified.differences, model=model.locked.repo, folder=folder, hint=hint)
    check_model_folder(folder, root=root, model=model.locked.repo, allow_pickle=allow_pickle)
    return folder


def verify_on_volume(root: Path, model: VolumeModel, checks: Checks) -> Verified:
    """Compare the model's folder with the metadata. Extra files are differences too.

    Raises:
        UnsafeModelError: A link is in the path of the folder.
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
        UnsafeModelError: One of them is a link.
    """
    for place in (folder, *folder.parents):
        if place == root:
            break
        if os.path.islink(place):  # noqa: PTH114 - pathlib raises on a lack of permission
            raise UnsafeModelError(
                "a link is in the path of the model's folder, and links are not allowed on a volume",
                model=model,
                found=f"{place} -> {place.readlink()}",
                hint=f"remove the link, and run `modelenv pull --to {root}` where the volume can be written",
            )


def _is_below(name: str) -> bool:
    return not name.startswith(("/", ".")) and not {"..", "", "."} & set(name.split("/"))


def _not_on_volume(root: Path, metadata: VolumeMetadata, ref: ModelRef) -> ModelEnvError:
    pinned = sorted(model.locked.alias for model in metadata.models if model.locked.repo == ref.repo_id)
    if pinned:
        hint = f"it has the model at another revision: load it as {' or '.join(map(repr, pinned))}, or use a commit"
    else:
        hint = "declare it in [tool.modelenv.models], then run `modelenv lock`, and `modelenv pull --to` the volume"
    held = ", ".join(f"{model.locked.repo} ({model.locked.commit[:12]})" for model in metadata.models[:10])
    return ModelNotFoundError(
        "not on this volume",
        model=str(ref),
        found=f"{root} has {held or 'no model'}" + (", …" if len(metadata.models) > 10 else ""),
        tried=(str(root / VOLUME_METADATA),),
        hint=hint,
    )
