"""Which files of a store belong to a model. Only these are ever moved, replaced or removed, and none behind a link.

A store may be a cache that other programs and other projects use, and its links may lead anywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelenv.errors import UnsafeModelError
from modelenv.files.layouts import hub_cache_folders
from modelenv.references import ModelRef, is_commit

_FOLDERS = ("blobs", "snapshots", "refs", "trees")
_LONGEST_REFERENCE = 1024  # bytes; a commit has 40


def is_in_place(root: Path, path: Path) -> bool:
    """Whether neither `path` nor a folder between it and `root` is a link. It need not exist."""
    return os.path.realpath(path) == os.path.join(os.path.realpath(root), os.path.relpath(path, root))  # noqa: PTH118


def owns(root: Path, ref: ModelRef, path: Path) -> bool:
    """Whether `path` is one of the model's blobs, or in one of its snapshots. It may itself be a link."""
    place = Path(os.path.realpath(path.parent), path.name)
    for cache in hub_cache_folders(Path(os.path.realpath(root)), ref):
        if place.parent == cache / "blobs" or cache / "snapshots" in place.parent.parents:
            return True
    return False


def check_owned(root: Path, ref: ModelRef, path: Path) -> None:
    """Check that `path` belongs to the model, before it is moved, replaced or removed.

    Raises:
        UnsafeModelError: it does not.
    """
    if not owns(root, ref, path):
        raise UnsafeModelError(
            "a link leads to a file of somebody else, which modelenv does not touch",
            model=ref.repo_id,
            expected=f"a file in {hub_cache_folders(root, ref)[0]}",
            found=os.path.realpath(path),
            hint="remove the link; the model's own file is then fetched where that is allowed",
        )


def linked_folder(root: Path, ref: ModelRef) -> Path | None:
    """Return a folder of the model in the store that is a link, or is behind one; None if there is none."""
    caches = hub_cache_folders(root, ref)
    places = (place for cache in caches for place in (cache, *(cache / name for name in _FOLDERS)))
    return next((place for place in places if os.path.lexists(place) and not is_in_place(root, place)), None)


def check_no_linked_folder(root: Path, ref: ModelRef) -> None:
    """Check that the model's folders in the store are no links, before anything is written to them.

    Raises:
        UnsafeModelError: one is.
    """
    place = linked_folder(root, ref)
    if place is not None:
        raise UnsafeModelError(
            "a folder of the model is a link, and modelenv writes through no link",
            model=ref.repo_id,
            expected=f"a folder below {root}",
            found=f"{place} -> {os.path.realpath(place)}",
            hint="move the folder to where the link is, or set MODEL_CACHE_DIR to a store without such links",
        )


def commit_named_by(reference: Path) -> str | None:
    """Return the commit that a reference of a Hugging Face cache names, or None if it names none.

    Raises:
        PermissionError: this user may not read it.
    """
    try:
        if not stat.S_ISREG(reference.stat().st_mode):  # opening a pipe would wait for ever
            return None
        with reference.open("rb") as file:
            text = file.read(_LONGEST_REFERENCE).decode("ascii", "replace").strip()
    except PermissionError:
        raise
    except OSError:
        return None
    return text if is_commit(text) else None


def references(cache: Path) -> Iterator[Path]:
    """Yield what is in the `refs` folder of a model's cache, at any depth: files and links.

    Raises:
        PermissionError: this user may not read a folder.
    """
    yield from entries(cache / "refs")


def entries(folder: Path) -> Iterator[Path]:
    """Yield what is below the folder, except folders; a link to a folder is no folder.

    Raises:
        PermissionError: this user may not read a folder.
    """

    def refused(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    for parent, folders, names in os.walk(folder, onerror=refused):
        links = (name for name in folders if os.path.islink(os.path.join(parent, name)))  # noqa: PTH114, PTH118
        yield from (Path(parent, name) for name in sorted((*names, *links)))
