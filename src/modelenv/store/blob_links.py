"""Finds the targets of the links in a store. A blob can be removed only if no link leads to it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from modelenv.files.layouts import CacheFolder

_MOST_STEPS = 8  # in a chain of links


def target_of(link: Path) -> str:
    """Return the target of the link, with the real path of the target's folder. Follows only this one link."""
    target = Path(os.path.realpath(link.parent), link.readlink())
    return str(Path(os.path.realpath(target.parent), target.name))


def all_targets(root: Path, without: Collection[Path]) -> tuple[set[str], list[Path]]:
    """Return the targets of all links below a store's root, and the folders that this user may not read.

    Args:
        root: The root of the store.
        without: Snapshots to ignore, together with modelenv's own folders for them.
    """
    unread: list[Path] = []
    side = root / ".locks" / "modelenv"
    ignored = {side / "damaged", *without}
    views = {(side / CacheFolder.of_snapshot(snapshot).path.name, snapshot.name) for snapshot in without}
    targets: set[str] = set()
    for parent, folders, names in os.walk(root, onerror=lambda error: unread.append(Path(error.filename))):
        place = Path(parent)
        folders[:] = [
            name for name in folders if place / name not in ignored and (place, name.partition("-")[0]) not in views
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
