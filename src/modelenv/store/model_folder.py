"""Checks that a folder contains a model that is complete, undamaged and free of code."""

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
    """Check the configuration, the weights and the links in `folder`, and that nothing in it is pickled.

    `modelenv.store.needs` checks what else a load needs for its task.

    Args:
        folder: The folder with the model's files.
        root: The store's root. No link is allowed to lead out of it.
        model: The model's name, for errors.
        allow_pickle: Whether pickled weights are allowed if there are no others.
        locked: The files in the lock, if there is one. Other files are not loaded.

    Returns:
        The files that can be loaded.

    Raises:
        ModelIntegrityError: `config.json` or the weights are missing or damaged, or cannot be read.
        UnsafeModelError: The weights that would be loaded are pickled or outside of the folder, or a link leads out
            of the store.
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
    """Check that no link that a load can follow is broken.

    Raises:
        ModelIntegrityError: A link is broken.
    """
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in sorted(names)):
            if path.is_symlink() and not path.exists():
                name = path.relative_to(folder).as_posix()
                if (locked is None or name in locked) and is_read_beside_weights(name):
                    raise unreadable(path, model, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
