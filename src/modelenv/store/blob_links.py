"""Where the links of a store lead: a blob may be removed only if none leads to it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

_MOST_STEPS = 8  # from a link to a link and so on


def target_of(link: Path) -> str:
    """Return where the link leads, one step, with the real path of the folder there."""
    target = Path(os.path.realpath(link.parent), link.readlink())
    return str(Path(os.path.realpath(target.parent), target.name))


def all_targets(root: Path, without: Collection[Path]) -> tuple[set[str], list[Path]]:
    """Return where all links below a store's root lead, and the folders that this user may not read.

    Args:
        root: the store.
        without: snapshots whose links do not count, nor those in modelenv's own folders for them.
    """
    unread: list[Path] = []
    side = root / ".locks" / "modelenv"
    passed_over = {side / "damaged", *without}
    views = {(side / snapshot.parent.parent.name, snapshot.name) for snapshot in without}
    targets: set[str] = set()
    for parent, folders, names in os.walk(root, onerror=lambda error: unread.append(Path(error.filename))):
        place = Path(parent)
        folders[:] = [
            name
            for name in folders
            if place / name not in passed_over and (place, name.partition("-")[0]) not in views
        ]
        for name in (*names, *folders):
            if os.path.islink(os.path.join(parent, name)):  # noqa: PTH114, PTH118 - a cache has many files
                targets.update(_steps(place / name))
    return targets, unread


def _steps(link: Path) -> Iterator[str]:
    for _ in range(_MOST_STEPS):
        target = target_of(link)
        yield target
        link = Path(target)
        if not link.is_symlink():
            return
