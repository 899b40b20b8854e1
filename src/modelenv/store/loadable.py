"""Checks that the files in a lock can be loaded. Used when a model is locked, fetched or verified."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from modelenv.errors import ModelIntegrityError
from modelenv.files.layouts import CONFIG
from modelenv.locks.values import LockedModel
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.modules import MODULES
from modelenv.store.needs import check_base, check_modules, check_needs
from modelenv.store.weights import check_no_pickle, check_weights
from modelenv.tasks import resolve_task

_COMPLETE = "run `modelenv lock --upgrade`; if that does not help, the repo is incomplete: use another revision"
_CHOOSE = "add the missing files to `files` in [tool.modelenv.models], and run `modelenv lock` again"


def check_locked_set(files: ModelFiles, task: str | None, patterns: Collection[str]) -> None:
    """Check that these files can be loaded.

    Files that were chosen by patterns can be for any library. For these, only the files that other files name are
    checked.

    Args:
        files: The locked files.
        task: The declared task of a pipeline, or None if no task is declared.
        patterns: The declared patterns.

    Raises:
        ModelIntegrityError: A file is missing or damaged.
        UnsafeModelError: The weights are pickled although no pattern names them, or a file names something outside of
            the model's folder.
    """
    if patterns:
        check_weights(files, allow_pickle=True)
        check_modules(files, Use(allow_pickle=True, hint=_CHOOSE))
        return
    check_base(files)
    if task is not None or MODULES not in files.names:
        check_no_pickle(files.top, model=files.model, allow_pickle=False, place=files.place)
    if task is not None and CONFIG not in files.names:
        raise ModelIntegrityError(
            f"the locked files have no {CONFIG}", model=files.model, found=f"none in {files.place}", hint=_COMPLETE
        )
    check_weights(files, allow_pickle=False)
    check_needs(files, Use(None if task is None else resolve_task(task).name, hint=_COMPLETE))


def check_locked(folder: Path, locked: LockedModel) -> None:
    """Check that a folder that matches its lock can be loaded.

    Raises:
        ModelIntegrityError, UnsafeModelError: See `check_locked_set`.
    """
    names = {file.path for file in locked.files}
    check_locked_set(ModelFiles.in_folder(folder, locked.repo, names), locked.task, locked.patterns)
