"""Broken links in a model's folder."""

from __future__ import annotations

import os
from pathlib import Path

BROKEN_LINK = "a link to a file that does not exist"


def is_broken_link(path: Path) -> bool:
    """Whether `path` is a link whose target does not exist."""
    return path.is_symlink() and not os.path.exists(path)  # noqa: PTH110 - pathlib can raise


def broken_links(folder: Path) -> list[Path]:
    """Return the links below `folder` whose target does not exist."""
    found = (Path(parent) / name for parent, folders, names in os.walk(folder) for name in (*folders, *names))
    return sorted(path for path in found if is_broken_link(path))
