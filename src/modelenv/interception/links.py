"""Private caches of links to verified files: only locked files, under references that nobody else moves."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from modelenv.files.disk import make_private
from modelenv.files.layouts import cache_folders
from modelenv.interception.locked_repos import LockedCommit
from modelenv.interception.references import write_references
from modelenv.locks.project_lock import Lockfile, format_lockfile

_PREFIX = "modelenv-volume-"


def new_cache() -> Path:
    """Create a private folder for links."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def remove_cache(cache: Path) -> None:
    """Remove a folder of `new_cache`, as far as possible."""
    shutil.rmtree(cache, ignore_errors=True)


def kept_cache(lock: Lockfile, root: Path) -> Path:
    """Return the private folder for links to the files of this lock under `root`, and create it if necessary.

    It stays. Another lock, or the same lock after a change, has another folder, so that nothing in a folder changes
    while a program uses it.

    Raises:
        ConfigurationError: Another user created it.
    """
    top = Path(tempfile.gettempdir()) / f"modelenv-{os.getuid()}"
    key = hashlib.sha256(os.fsencode(root) + b"\0" + format_lockfile(lock).encode())
    folder = top / "links" / key.hexdigest()[:16]
    for each in (top, folder.parent, folder):
        make_private(each)
    return folder


def link_files(root: Path, commit: LockedCommit, paths: Iterable[str], folder: Path) -> None:
    """Make links to files in `folder` in the cache `root`, as files of this commit, and write its references."""
    cache = cache_folders(root, commit.model.ref)[0]
    snapshot = cache.snapshot(commit.model.commit)
    for path in paths:
        link, target = snapshot / path, folder / path
        if not link.is_symlink() or link.readlink() != target:
            link.parent.mkdir(parents=True, exist_ok=True)
            staged = link.with_name(f".{link.name}.{os.urandom(8).hex()}.tmp")
            staged.symlink_to(target)
            staged.replace(link)
    write_references(cache, commit)
