"""From a locked model to a folder whose files match the lock: found, repaired, or fetched.

A model that was checked and has not changed since costs one `stat` per file, and no request. A file that does not
match the lock is never loaded: it is set aside, and fetched again if that is allowed. A cache is shared, so files
that others fetched for the same commit stay. A load then uses a folder with links to the locked files only.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import is_offline, offline_variable
from modelenv.errors import ConfigurationError, ModelEnvError, ModelNotFoundError, NoSpaceError
from modelenv.fetching.blobs import BlobFetch, FetchedBlobs, WantedFile
from modelenv.fetching.failures import FailureLog
from modelenv.fetching.leftovers import remove_leftovers
from modelenv.fetching.publishing import publish, publish_snapshot
from modelenv.fetching.snapshot import Fetched
from modelenv.files.disk import reading
from modelenv.files.hashing import Fingerprint
from modelenv.files.layouts import CONFIG, CacheFolder, Layout, cache_folders, is_snapshot, plain_folders
from modelenv.files.ownership import check_owned, owns
from modelenv.loading.look_and_mend import Obtained, follow, holding_lock
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.integrity import check_links
from modelenv.store.store import FoundModel, Store
from modelenv.store.verification import Difference, Verified, integrity_error, verify_folder, with_shared

logger = logging.getLogger("modelenv")


def snapshot_of(store: Store, locked: LockedModel) -> Path:
    """Return the path of the locked commit's snapshot in the store, which need not exist."""
    folders = [cache.snapshot(locked.commit) for cache in cache_folders(store.root, locked.ref)]
    return next((folder for folder in folders if os.path.isdir(folder)), folders[0])  # noqa: PTH112 - never raises


def verify_locked(store: Store, locked: LockedModel, folder: Path, checks: Checks) -> Verified:
    """Compare a folder of the store with the lock, and remember the hashes.

    Files that others fetched into the snapshot are not differences; see `Verified.shared`.

    Raises:
        UnsafeModelError: A link leads out of the store.
    """
    ref = locked.ref
    if folder.is_dir():
        check_links(folder, root=store.root, model=locked.repo)
    known: Mapping[str, Fingerprint] = {}
    if not checks.full:
        known = {**(store.known(ref, locked.commit) if is_snapshot(folder) else {}), **checks.memory.of(folder)}
    verified = verify_folder(
        folder, locked, known=known, strict=False, allow_links=True,
        before_hashing=checks.before_hashing, progress=checks.progress,
    )  # fmt: skip
    if is_snapshot(folder):
        verified = with_shared(folder, verified)
    if verified.hashed:
        checks.memory.remember(folder, verified.fingerprints)
        if is_snapshot(folder) and checks.remembers and not verified.differences and not store.is_read_only():
            _remember(store, ref, folder, verified.fingerprints)
    return verified


def obtain_locked(
    store: Store,
    locked: LockedModel,
    deadline: Deadline,
    *,
    fetches: bool,
    checks: Checks,
    failures: FailureLog | None = None,
) -> Obtained:
    """Return a folder whose files match the lock, fetched into the store if necessary.

    The caller checks with `check_model_folder` that these files are a model that can be loaded.

    Args:
        store: The store to search, and to fetch into.
        locked: The model.
        deadline: The deadline for everything, including the wait for the lock.
        fetches: Whether files can be downloaded from the Hub.
        checks: The options for checking the files.
        failures: The failed fetches of this run, or None.

    Raises:
        ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: The model could not be fetched.
        ModelIntegrityError: The files do not match the lock, and could not be fetched again.
        UnsafeModelError: A link leads out of the store.
    """
    road = _LockedRoad(store, locked, deadline, checks, failures)
    lock = holding_lock(store, locked.ref, deadline, failures) if fetches and not store.is_read_only() else None
    with reading(locked.repo):
        if checks.remembers and snapshot_of(store, locked).is_dir():
            store.claim(locked.ref, locked.commit)  # first, so that `prune` in another project does not remove it
        found = follow(road, lock)
        if found.verified.differences:
            raise unavailable(store, locked, found.verified.differences, fetches=fetches)
        path = found.path
        if found.verified.shared:
            path = _folder_of_locked_files(store, locked, path, found.verified, checks, deadline)
    return Obtained(path, found.fetched)


@dataclass(frozen=True)
class FoundFolder:
    """A folder with the result of its comparison with the lock, and the fetch that filled it, if any."""

    path: Path
    verified: Verified
    fetched: Fetched | None = None


@dataclass(frozen=True)
class _LockedRoad:
    """The `Road` to a folder that matches the lock."""

    store: Store
    locked: LockedModel
    deadline: Deadline
    checks: Checks
    failures: FailureLog | None

    def look(self) -> FoundFolder:
        return FoundFolder(*find_locked(self.store, self.locked, self.checks))

    def is_right(self, found: FoundFolder) -> bool:
        return not found.verified.differences

    def mend(self, found: FoundFolder) -> FoundFolder:
        remove_leftovers(self.store, self.locked.ref)
        return repair(self.store, self.locked, found, self.deadline, self.checks, self.failures)


def find_locked(store: Store, locked: LockedModel, checks: Checks) -> tuple[Path, Verified]:
    """Return the folder that matches the lock, or else the snapshot, with the result of the comparison.

    The snapshot need not exist.

    Raises:
        UnsafeModelError: A link leads out of the store.
    """
    snapshot = snapshot_of(store, locked)
    of_snapshot = verify_locked(store, locked, snapshot, checks)
    if not of_snapshot.differences:
        return snapshot, of_snapshot
    for _, folder in plain_folders(store.root, locked.ref):  # the user's own folders, which are never changed
        if (folder / CONFIG).is_file():
            verified = verify_locked(store, locked, folder, checks)
            if not verified.differences:
                return folder, verified
    return snapshot, of_snapshot


def _folder_of_locked_files(
    store: Store, locked: LockedModel, snapshot: Path, verified: Verified, checks: Checks, deadline: Deadline
) -> Path:
    """Return a folder with links to the locked files only, because no other file of the snapshot must be loaded.

    Raises:
        ModelIntegrityError: The folder does not exist, and cannot be created.
    """
    view = store.view(locked.ref, locked.commit, "\n".join(file.path for file in locked.files))
    can_write = checks.remembers and not store.is_read_only()
    lock = holding_lock(store, locked.ref, deadline) if can_write else None
    if follow(_ViewRoad(store, locked, snapshot, view, verified.fingerprints), lock):
        return view
    hint = "run `modelenv pull` as a user who can write to this store: it creates a folder with the locked files only"
    raise integrity_error(verified.shared, model=locked.repo, folder=snapshot, hint=hint)


@dataclass(frozen=True)
class _ViewRoad:
    """The `Road` to a folder with links to the locked files of a snapshot. `look` returns whether it exists."""

    store: Store
    locked: LockedModel
    snapshot: Path
    view: Path
    known: Mapping[str, Fingerprint]

    def look(self) -> bool:
        verified = verify_folder(self.view, self.locked, known=self.known, strict=True, allow_links=True)
        return not verified.differences

    def is_right(self, found: bool) -> bool:
        return found

    def mend(self, found: bool) -> bool:
        store, ref = self.store, self.locked.ref
        with store.writing(ref.repo_id):
            remove_leftovers(store, ref)
            shutil.rmtree(self.view, ignore_errors=True)
            targets = {file.path: (self.snapshot / file.path).resolve() for file in self.locked.files}
            publish(store.staging(ref), self.view, targets)
        return True


def unavailable(
    store: Store, locked: LockedModel, differences: tuple[Difference, ...], *, fetches: bool
) -> ModelEnvError:
    """Return the error for differences from the lock that cannot be repaired here."""
    reason = "the store cannot be written"
    hint = f"run `modelenv pull` where it can be written, or set {store.setting} to another folder"
    if not fetches:
        reason = "nothing is downloaded in this environment"
        hint = f"fill it with `modelenv pull --to {store.root}` where it can be written and the Hub can be reached"
    elif is_offline():
        reason = "offline mode is on, so it was not downloaded"
        hint = f"unset {offline_variable()}, or run `modelenv pull` while the Hub can be reached"
    snapshot = snapshot_of(store, locked)
    if snapshot.is_dir():
        return integrity_error(differences, model=locked.repo, folder=snapshot, hint=hint)
    return ModelNotFoundError(
        f"the locked commit {locked.commit[:12]} is not in this store, and {reason}",
        model=locked.repo,
        tried=store.places(locked.ref),
        hint=hint,
    )


def repair(
    store: Store, locked: LockedModel, found: FoundFolder, deadline: Deadline, checks: Checks,
    failures: FailureLog | None = None, is_needed: Callable[[Difference], bool] = bool,
) -> FoundFolder:  # fmt: skip
    """Set aside wrong files, fetch what is missing, and publish the result. The caller holds the model's lock.

    With `is_needed`, only the differences for which it returns true are repaired.
    """
    ref = locked.ref
    if failures is not None:
        failures.raise_if_failed(ref, deadline)
    snapshot = snapshot_of(store, locked)
    blob_ids = {file.path: file.blob_id for file in locked.files}
    differences = tuple(filter(is_needed, found.verified.differences))
    wrong = {each.path for each in differences}
    files = [file for file in locked.files if file.path in wrong]
    wanted = [WantedFile(file.path, file.size, file.blob_id, file.sha256) for file in files]
    fetch = BlobFetch(store, ref, CacheFolder.of_snapshot(snapshot).blobs, progress=checks.progress)
    if is_offline() and fetch.lacks(wanted):
        raise unavailable(store, locked, differences, fetches=True)
    for difference in differences:
        set_aside(store, ref, snapshot / difference.path, blob_ids.get(difference.path))
    began = deadline.remaining
    try:
        blobs = fetch.fetch(wanted, deadline)
    except ModelEnvError as error:
        if failures is not None:
            failures.remember(ref, error, deadline)
        raise
    publish_snapshot(store, locked, snapshot, {file.path: fetch.blobs / file.blob_id for file in files})
    known = {**store.known(ref, locked.commit), **checks.memory.of(snapshot)}
    known.update((file.path, blobs.fingerprints[file.blob_id]) for file in files)
    verified = with_shared(snapshot, verify_folder(snapshot, locked, known=known, strict=False, allow_links=True))
    if left := tuple(filter(is_needed, verified.differences)):
        hint = "another program is changing this store: try again when it has finished"
        raise integrity_error(left, model=locked.repo, folder=snapshot, hint=hint)
    store.record(ref, FoundModel(snapshot, Layout.HUB_CACHE, locked.commit), verified.fingerprints, whole=False)
    return FoundFolder(snapshot, verified, _fetched(locked, snapshot, blobs, began - deadline.remaining))


def _fetched(locked: LockedModel, snapshot: Path, blobs: FetchedBlobs, seconds: float) -> Fetched | None:
    if not blobs.requests:
        return None  # all blobs already existed
    found = FoundModel(snapshot, Layout.HUB_CACHE, locked.commit, checked=True)
    return Fetched(found, len(locked.files), blobs.bytes, blobs.requests, seconds)


def set_aside(store: Store, ref: ModelRef, path: Path, blob_id: str | None) -> None:
    """Move a wrong file out of the way: the blob behind the link if it is the file's own, else the link or the file.

    If a link leads to another blob, only the link is wrong. A blob of another model must not be moved.

    Raises:
        UnsafeModelError: A folder in the path is a link, even if the file itself does not exist yet.
    """
    check_owned(store.root, ref, path)
    if not os.path.lexists(path):
        return
    blob = Path(os.path.realpath(path))
    is_damaged = path.is_symlink() and blob.name == blob_id and blob.exists() and owns(store.root, ref, blob)
    aside = store.set_aside(ref, blob if is_damaged else path)
    logger.warning("%s: %s does not match the lock; it was set aside as %s", ref.repo_id, path, aside)


def _remember(store: Store, ref: ModelRef, folder: Path, fingerprints: Mapping[str, Fingerprint]) -> None:
    try:
        store.record(ref, FoundModel(folder, Layout.HUB_CACHE, ref.revision), fingerprints, whole=False)
    except (ConfigurationError, NoSpaceError) as error:  # the files are right; the next process hashes them again
        logger.info("%s: the hashes could not be recorded: %s", ref.repo_id, error.what)
