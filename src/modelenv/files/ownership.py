"""Decides which files of a store belong to a model. Only these are ever moved, replaced or removed.

A store can be a cache that other programs and projects use, and its links can lead anywhere. A file behind a link
never belongs to the model.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelenv.errors import UnsafeModelError
from modelenv.files.layouts import CacheFolder, cache_folders
from modelenv.references import ModelRef, is_commit

_FOLDERS = ("blobs", "snapshots", "refs", "trees")
_LONGEST_REFERENCE = 1024  # bytes; a commit has 40


def is_in_place(root: Path, path: Path) -> bool:
    """Whether neither `path` nor a folder between `root` and `path` is a link. `path` need not exist."""
    without_links = os.path.join(os.path.realpath(root), os.path.relpath(path, root))  # noqa: PTH118 - as text
    return os.path.realpath(path) == without_links


def owns(root: Path, ref: ModelRef, path: Path) -> bool:
    """Whether `path` is one of the model's blobs, or is in one of its snapshots. `path` itself can be a link."""
    place = Path(os.path.realpath(path.parent), path.name)
    for cache in cache_folders(Path(os.path.realpath(root)), ref):
        if place.parent == cache.blobs or cache.snapshots in place.parent.parents:
            return True
    return False


def check_owned(root: Path, ref: ModelRef, path: Path) -> None:
    """Check that `path` belongs to the model, before it is moved, replaced or removed.

    Raises:
        UnsafeModelError: `path` does not belong to the model.
    """
    if not owns(root, ref, path):
        raise UnsafeModelError(
            "a link leads to a file that does not belong to the model, so modelenv does not change it",
            model=ref.repo_id,
            expected=f"a file in {cache_folders(root, ref)[0].path}",
            found=os.path.realpath(path),
            hint="remove the link; the next load then fetches the model's own file, if the source allows downloads",
        )


def linked_folder(root: Path, ref: ModelRef) -> Path | None:
    """Return a folder of the model in the store that is a link or is behind a link, or None."""
    caches = cache_folders(root, ref)
    places = (place for cache in caches for place in (cache.path, *(cache.path / name for name in _FOLDERS)))
    return next((place for place in places if os.path.lexists(place) and not is_in_place(root, place)), None)


def check_no_linked_folder(root: Path, ref: ModelRef) -> None:
    """Check that the model's folders in the store are not links, before anything is written to them.

    Raises:
        UnsafeModelError: A folder is a link, or is behind a link.
    """
    place = linked_folder(root, ref)
    if place is not None:
        raise UnsafeModelError(
            "a folder of the model is a link, and modelenv does not write through links",
            model=ref.repo_id,
            expected=f"a folder below {root}",
            found=f"{place} -> {os.path.realpath(place)}",
            hint="replace the link with the folder itself, or set MODEL_CACHE_DIR to a store without such links",
        )


def commit_named_by(reference: Path) -> str | None:
    """Return the commit in a reference file of a Hugging Face cache, or None if it does not contain one.

    Raises:
        PermissionError: This user may not read the file.
    """
    try:
        if not stat.S_ISREG(reference.stat().st_mode):  # opening a pipe would block
            return None
        with reference.open("rb") as file:
            text = file.read(_LONGEST_REFERENCE).decode("ascii", "replace").strip()
    except PermissionError:
        raise
    except OSError:
        return None
    return text if is_commit(text) else None


def references(cache: CacheFolder) -> Iterator[Path]:
    """Yield the files and links in the `refs` folder of a model's cache, at any depth.

    Raises:
        PermissionError: This user may not read a folder.
    """
    yield from entries(cache.refs)


def entries(folder: Path) -> Iterator[Path]:
    """Yield everything below the folder except folders. A link to a folder counts as a link.

    Raises:
        PermissionError: This user may not read a folder.
    """

    def refused(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    for parent, folders, names in os.walk(folder, onerror=refused):
        links = (name for name in folders if Path(parent, name).is_symlink())
        yield from (Path(parent, name) for name in sorted((*names, *links)))
