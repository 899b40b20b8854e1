"""Protects the models that another lock put on a volume: they change only if the user says so.

A volume does not record which project it belongs to. So a model belongs to another project if this lock does not name
it, or uses its alias for another repo. A newer commit of the same model is an update.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from modelenv.environment.sources import VOLUME_METADATA
from modelenv.errors import ConfigurationError, LockfileError
from modelenv.files.layouts import model_folders
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.volume.metadata import VolumeMetadata
from modelenv.volume.reading import own_folders, volume_metadata

_MOST_SHOWN = 5


class Others(StrEnum):
    """What to do with models on a volume that this lock does not name."""

    REFUSED = "refused"
    ADDED_TO = "added to"
    REPLACED = "replaced"


def held_before(root: Path, others: Others) -> VolumeMetadata | None:
    """Return the volume's metadata, or None if it has none that must be kept.

    Raises:
        LockfileError: The metadata cannot be read.
        ConfigurationError: The metadata was not written by modelenv, or the folder contains models without metadata.
    """
    path = root / VOLUME_METADATA
    try:
        metadata = volume_metadata(root)
    except LockfileError as error:
        if others is Others.REPLACED:
            return None
        raise LockfileError(
            f"{error.what}, so the content of the volume is unknown",
            expected=error.expected,
            found=error.found,
            hint=f"fix or restore the file, or run `modelenv pull --to {root} --replace`, which writes a new one",
        ) from None
    if metadata is not None or others is Others.REPLACED:
        return metadata
    replace = f"use another folder, or run `modelenv pull --to {root} --replace`"
    if os.path.lexists(path):
        raise ConfigurationError(
            f"the volume has a {VOLUME_METADATA} that modelenv did not write",
            found=str(path),
            hint=f"{replace}, which writes a new one; models that were put there by hand are then no longer loaded",
        )
    foreign = _put_there_by_hand(root)
    if foreign is not None:
        raise ConfigurationError(
            "the folder contains models that modelenv did not put there",
            found=str(foreign),
            hint=f"{replace}: they stay there, but are no longer loaded, because the metadata does not name them",
        )
    return None


def joined(before: VolumeMetadata | None, lock: Lockfile, root: Path, others: Others) -> Lockfile:
    """Return the lock that the volume will have: this lock, with `ADDED_TO` also the models of other locks.

    Raises:
        ConfigurationError: The volume has models of other locks, and `others` is `REFUSED`; or two models have the
            same alias.
    """
    held = () if before is None or others is Others.REPLACED else tuple(model.locked for model in before.models)
    names = {model.alias: model for model in lock.models}
    others_there = [model for model in held if model.alias not in names]
    taken = [model for model in held if model.alias in names and names[model.alias].repo != model.repo]
    if others is Others.REFUSED and (others_there or taken):
        shown = [f"{model.alias} ({model.repo})" for model in (*others_there, *taken)]
        raise ConfigurationError(
            "the volume has models that this lock does not name",
            expected="only models of this lock, at any commit",
            found=", ".join(shown[:_MOST_SHOWN]) + ("" if len(shown) <= _MOST_SHOWN else ", …"),
            hint=f"to keep them, run `modelenv pull --to {root} --add`; "
            f"to remove them, run `modelenv pull --to {root} --replace`",
        )
    if taken:
        raise ConfigurationError(
            "the volume has another model with the same alias",
            model=taken[0].alias,
            expected=f"{names[taken[0].alias].repo}, as in this lock",
            found=taken[0].repo,
            hint="give the model another alias in [tool.modelenv.models] and run `modelenv lock`, "
            f"or remove the models of other locks with `modelenv pull --to {root} --replace`",
        )
    return Lockfile((*lock.models, *others_there))


def dropped(before: VolumeMetadata | None, after: VolumeMetadata) -> tuple[LockedModel, ...]:
    """Return the models that are no longer on the volume. A model at another commit is the same model."""
    kept = {(model.locked.alias, model.locked.repo) for model in after.models}
    models = () if before is None else before.models
    return tuple(model.locked for model in models if (model.locked.alias, model.locked.repo) not in kept)


def _put_there_by_hand(root: Path) -> Path | None:
    own = own_folders(root) or {}
    return next((path for path in model_folders(root) if path.relative_to(root).as_posix() not in own), None)
