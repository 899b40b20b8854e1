"""Whether a folder holds a model that may be loaded: complete, undamaged, and free of code."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

from modelenv.files.formats import format_error
from modelenv.store.integrity import check_config, check_links, check_safetensors, unreadable
from modelenv.store.model_files import ModelFiles
from modelenv.store.needed_files import is_read_beside_weights
from modelenv.store.needs import check_base
from modelenv.store.weights import check_no_pickle, check_weights


def check_model_folder(
    folder: Path, *, root: Path, model: str, allow_pickle: bool = False, locked: Collection[str] | None = None
) -> ModelFiles:
    """Check that `folder` can be loaded as `model`: configuration, weights, links, and no pickle.

    What a load needs besides, for its task, is for `modelenv.store.needs` to say.

    Args:
        folder: the folder with the model's files.
        root: the store's folder, which no link may leave.
        model: the model's name, for errors.
        allow_pickle: whether pickled weights may be loaded where there are no others.
        locked: the files that a lock names; nothing else may be loaded.

    Returns:
        The files that may be loaded.

    Raises:
        ModelIntegrityError: `config.json` or the weights are missing or damaged, or cannot be read.
        UnsafeModelError: the weights that would be loaded are pickled, or lie elsewhere, or a link leads out of the
            store.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise unreadable(folder, model, error) from None
    check_links(folder, root=root, model=model)
    below = (Path(parent, name).relative_to(folder) for parent, _, found in os.walk(folder) for name in found)
    other = format_error((path.as_posix() for path in below), model=model, place=str(folder))
    if other is not None:
        raise other
    files = ModelFiles.in_folder(folder, model, locked)
    check_base(files)
    check_config(folder, model)
    there = {name for name in names if locked is None or name in locked}
    check_no_pickle(there, model=model, allow_pickle=allow_pickle, place=str(folder))
    weights = check_weights(files, allow_pickle=allow_pickle)
    for name in sorted({*there, *weights}):
        if name.endswith(".safetensors"):
            check_safetensors(folder / name, model)
    check_dangling(folder, model, locked)
    return files


def check_dangling(folder: Path, model: str, locked: Collection[str] | None = None) -> None:
    """Check that each link of the folder that a load may follow leads to a file.

    Raises:
        ModelIntegrityError: one leads nowhere.
    """
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in sorted(names)):
            if path.is_symlink() and not path.exists():
                name = path.relative_to(folder).as_posix()
                if (locked is None or name in locked) and is_read_beside_weights(name):
                    raise unreadable(path, model, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
