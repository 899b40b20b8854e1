"""Whether what a lock names can be loaded: said when it is locked, when it is fetched, and when it is verified."""

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

_COMPLETE = "run `modelenv lock --upgrade`; if it stays so, the repo itself is not complete: use another revision"
_CHOOSE = "name the missing files in `files` of [tool.modelenv.models] too, and run `modelenv lock` again"


def check_locked_set(files: ModelFiles, task: str | None, patterns: Collection[str]) -> None:
    """Check that these files can be loaded.

    Files that were chosen by patterns may be for any library. Of them only what one file says of others is checked.

    Args:
        files: what is locked.
        task: the declared task of a pipeline, or None for anything.
        patterns: the declared patterns.

    Raises:
        ModelIntegrityError: something is missing.
        UnsafeModelError: the weights are pickled though no pattern names them, or something lies elsewhere.
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
    """Check that a folder that is as locked can be loaded.

    Raises:
        ModelIntegrityError, UnsafeModelError: as `check_locked_set`.
    """
    names = {file.path for file in locked.files}
    check_locked_set(ModelFiles.in_folder(folder, locked.repo, names), locked.task, locked.patterns)
