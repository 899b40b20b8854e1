"""What becomes of the models that another lock put on a volume: nothing, without a word of who fills it.

A volume does not say whose it is. So what tells another project's model is that this lock does not name it, or names
another repo by its alias. A newer commit of the same model is an update.
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
    """What becomes of models that this lock does not name."""

    REFUSED = "refused"
    ADDED_TO = "added to"
    REPLACED = "replaced"


def held_before(root: Path, others: Others) -> VolumeMetadata | None:
    """Return what the volume says it holds; None where it says nothing that must be kept.

    Raises:
        LockfileError: the metadata cannot be read.
        ConfigurationError: the metadata is not modelenv's, or the folder holds models that nobody named in one.
    """
    path = root / VOLUME_METADATA
    try:
        metadata = volume_metadata(root)
    except LockfileError as error:
        if others is Others.REPLACED:
            return None
        raise LockfileError(
            f"{error.what}; so it is not known what the volume holds",
            expected=error.expected,
            found=error.found,
            hint=f"mend or restore the file, or run `modelenv pull --to {root} --replace`, which writes it anew",
        ) from None
    if metadata is not None or others is Others.REPLACED:
        return metadata
    replace = f"name another folder, or run `modelenv pull --to {root} --replace`"
    if os.path.lexists(path):
        raise ConfigurationError(
            f"the volume has a {VOLUME_METADATA} that modelenv did not write",
            found=str(path),
            hint=f"{replace}, which writes it anew; models that were put there by hand are not loaded any more then",
        )
    foreign = _put_there_by_hand(root)
    if foreign is not None:
        raise ConfigurationError(
            "the folder holds models that modelenv did not put there",
            found=str(foreign),
            hint=f"{replace}: they stay there, but are not loaded any more, since the metadata does not name them",
        )
    return None


def joined(before: VolumeMetadata | None, lock: Lockfile, root: Path, others: Others) -> Lockfile:
    """Return what the volume is to hold: this lock, and with `ADDED_TO` the models of other locks besides.

    Raises:
        ConfigurationError: the volume holds others, and nothing was said of them; or two have the same alias.
    """
    held = () if before is None or others is Others.REPLACED else tuple(model.locked for model in before.models)
    names = {model.alias: model for model in lock.models}
    others_there = [model for model in held if model.alias not in names]
    taken = [model for model in held if model.alias in names and names[model.alias].repo != model.repo]
    if others is Others.REFUSED and (others_there or taken):
        shown = [f"{model.alias} ({model.repo})" for model in (*others_there, *taken)]
        raise ConfigurationError(
            "the volume holds models that this lock does not name",
            expected="models of this lock alone, at any commit",
            found=", ".join(shown[:_MOST_SHOWN]) + ("" if len(shown) <= _MOST_SHOWN else ", …"),
            hint=f"to keep them beside those of this lock, run `modelenv pull --to {root} --add`; "
            f"to drop them, run `modelenv pull --to {root} --replace`",
        )
    if taken:
        raise ConfigurationError(
            "the volume holds another model by the same alias",
            model=taken[0].alias,
            expected=f"{names[taken[0].alias].repo}, as in this lock",
            found=taken[0].repo,
            hint="give the model another alias in [tool.modelenv.models] and run `modelenv lock`, "
            f"or drop what other locks put there with `modelenv pull --to {root} --replace`",
        )
    return Lockfile((*lock.models, *others_there))


def dropped(before: VolumeMetadata | None, after: VolumeMetadata) -> tuple[LockedModel, ...]:
    """Return the models that the volume does not hold any more; another commit of a model is the same model."""
    kept = {(model.locked.alias, model.locked.repo) for model in after.models}
    models = () if before is None else before.models
    return tuple(model.locked for model in models if (model.locked.alias, model.locked.repo) not in kept)


def _put_there_by_hand(root: Path) -> Path | None:
    own = own_folders(root) or {}
    return next((path for path in model_folders(root) if path.relative_to(root).as_posix() not in own), None)
