"""Prunes a cache that others can use: removes only what modelenv knows to be its own and unneeded.

`superfluous` only looks, and gives a reason for everything that stays. `remove` then acts, under the model's lock.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from modelenv.files.disk import writing
from modelenv.files.layouts import CacheFolder, cache_folders
from modelenv.files.ownership import commit_named_by, entries, is_in_place, linked_folder, references
from modelenv.references import ModelRef, is_commit
from modelenv.store.blob_links import all_targets, target_of
from modelenv.store.store import Store

_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Kept:
    """A file or folder that stays although the lock does not need it.

    Attributes:
        path: The file or folder.
        reason: Why it stays.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Superfluous:
    """What can be removed of one model, and what stays.

    Attributes:
        snapshots: The folders of commits that nobody needs.
        blobs: The blobs that no link leads to once these snapshots are removed.
        references: The references to these commits.
        kept: What stays, and why.
        released: The commits that this project's lock does not name.
        is_usable: Whether the model is in the cache, and not behind a link.
    """

    snapshots: tuple[Path, ...] = ()
    blobs: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    kept: tuple[Kept, ...] = ()
    released: tuple[str, ...] = ()
    is_usable: bool = False


def superfluous(store: Store, ref: ModelRef, needed: Collection[str], *, unshared: bool) -> Superfluous:
    """Return what can be removed of a model. Changes nothing.

    Args:
        store: The cache.
        ref: The model.
        needed: The commits that this project's lock names.
        unshared: Whether only this project uses the cache. If not, a commit is removed only if modelenv fetched all
            of it for this project's lock, and no other lock and no other program is known to use it.

    Raises:
        PermissionError: This user may not read a folder of the model.
    """
    link = linked_folder(store.root, ref)
    if link is not None:
        return Superfluous(kept=(Kept(link, "it is a link, and its target is not part of this cache"),))
    caches = [cache for cache in cache_folders(store.root, ref) if cache.path.is_dir()]
    commits = {place: commit_named_by(place) for cache in caches for place in references(cache)}
    unusable = (place for place, commit in commits.items() if commit is None)
    kept = [Kept(place, "this reference does not contain a commit") for place in unusable]
    snapshots, named, released = [], [], []
    for snapshot in (cache.snapshot(name) for cache in caches for name in _names(cache.snapshots)):
        if not is_commit(snapshot.name) or snapshot.name in needed:
            continue
        refs = CacheFolder.of_snapshot(snapshot).refs
        its_references = [
            place for place, commit in commits.items() if commit == snapshot.name and refs in place.parents
        ]
        reason = _foreign(store, snapshot)
        if reason is None and not unshared:
            reason = _needed_by_others(store, ref, snapshot, its_references)
        if reason is None:
            snapshots.append(snapshot)
            named += its_references
        else:
            kept.append(Kept(snapshot, reason))
        released.append(snapshot.name)
    blobs, unread = _unlinked_blobs(store.root, caches, snapshots, unshared=unshared)
    kept += [Kept(place, "no permission to read its links, so all blobs are kept") for place in unread]
    return Superfluous(tuple(snapshots), blobs, tuple(named), tuple(kept), tuple(released), bool(caches))


def remove(store: Store, ref: ModelRef, what: Superfluous) -> None:
    """Remove what is superfluous, and withdraw the lock's claims. The caller holds the model's lock.

    Raises:
        ConfigurationError: The store cannot be written.
    """
    with writing(store.root, ref.repo_id):
        for reference in what.references:
            reference.unlink(missing_ok=True)
        for snapshot in what.snapshots:
            shutil.rmtree(snapshot)
            store.forget(ref, snapshot.name)
        for blob in what.blobs:
            blob.unlink(missing_ok=True)
        if store.claimant is not None:
            for commit in what.released:
                store.claims(ref, commit).withdraw(store.claimant)


def set_aside_files(store: Store) -> list[Path]:
    """Return the files that were set aside as damaged, or nothing if their folder is behind a link."""
    folder = store.root / ".locks" / "modelenv" / "damaged"
    return list(entries(folder)) if is_in_place(store.root, folder) else []


def remove_set_aside(store: Store, files: Iterable[Path]) -> None:
    """Remove files that were set aside as damaged.

    Raises:
        ConfigurationError: The store cannot be written.
    """
    with writing(store.root, "the cache"):
        for path in files:
            path.unlink(missing_ok=True)


def _foreign(store: Store, snapshot: Path) -> str | None:
    """Return a reason to keep the snapshot if it contains anything but links to the model's own blobs, or None."""
    if not is_in_place(store.root, snapshot):
        return "it is a link, and its target is not part of this cache"
    if not snapshot.is_dir():
        return "it is not a folder"
    blobs = CacheFolder.of_snapshot(snapshot).blobs
    for path in entries(snapshot):
        if not path.is_symlink():
            return f"it contains {path.relative_to(snapshot)}, which is not a link to a blob"
        if Path(target_of(path)).parent != Path(os.path.realpath(blobs)):
            return f"its link {path.relative_to(snapshot)} leads elsewhere"
    return None


def _needed_by_others(store: Store, ref: ModelRef, snapshot: Path, named_by: Collection[Path]) -> str | None:
    """Return a reason to believe that others need the snapshot, or None."""
    cache, commit = CacheFolder.of_snapshot(snapshot), snapshot.name
    claims = store.claims(ref, commit)
    made = claims.made()
    if made is None:
        return "modelenv did not fetch it for a lock"
    if claims.others(store.claimant):
        return "another project's lock needs it"
    files = (path.relative_to(snapshot).as_posix() for path in entries(snapshot))
    foreign = next((name for name in files if name not in made.files), None)
    if foreign is not None:
        return f"another program fetched {foreign}"
    if any(os.path.lexists(place) for place in (cache.absent(commit), cache.listing(commit))):
        return "another program has used it"
    for place in named_by:
        name = place.relative_to(cache.refs).as_posix()
        if place.is_symlink() or name not in made.references:
            return f"refs/{name}, written by another program, points to it"
    return None


def _unlinked_blobs(
    root: Path, caches: Collection[CacheFolder], without: Collection[Path], *, unshared: bool
) -> tuple[tuple[Path, ...], list[Path]]:
    """Return the blobs that no link leads to once these snapshots are removed, and the folders that cannot be read.

    In a cache that others use, only blobs of these snapshots are returned: any other could be about to get a link.
    """
    candidates = {Path(target_of(path)) for snapshot in without for path in entries(snapshot)}
    if unshared:
        folders = [Path(os.path.realpath(cache.blobs)) for cache in caches]
        candidates |= {folder / name for folder in folders for name in _names(folder) if _BLOB.fullmatch(name)}
    if not candidates:
        return (), []
    used, unread = all_targets(root, without)
    own = {Path(os.path.realpath(cache.blobs)): cache.blobs for cache in caches}
    free = (path for path in sorted(candidates) if str(path) not in used and os.path.lexists(path))
    blobs = tuple(own[path.parent] / path.name for path in free if path.parent in own and not _is_folder(path))
    return (blobs, []) if not unread else ((), unread)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - only names
    except (FileNotFoundError, NotADirectoryError):
        return []
