"""From a locked model to a folder that holds exactly what the lock says: found, repaired, or fetched.

What is there and was checked since it last changed costs a `stat` for each file, and no request. A file that is not
as locked is never loaded: it is set aside, and fetched again where that is allowed. A cache is shared: what others
have of the same commit stays, and a load then gets a folder of links to the locked files alone.
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
from modelenv.files.layouts import CONFIG, Layout, hub_cache_folders, plain_folders
from modelenv.files.ownership import check_owned, owns
from modelenv.loading.folders import Obtained, follow, holding_lock
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.integrity import check_links
from modelenv.store.store import FoundModel, Store
from modelenv.store.verification import Difference, Verified, integrity_error, verify_folder, with_shared

logger = logging.getLogger("modelenv")


def snapshot_of(store: Store, locked: LockedModel) -> Path:
    """Return the folder of the locked commit in the store; it need not be there."""
    caches = hub_cache_folders(store.root, locked.ref)
    folders = [cache / "snapshots" / locked.commit for cache in caches]
    return next((folder for folder in folders if os.path.isdir(folder)), folders[0])  # noqa: PTH112 - never raises


def verify_locked(store: Store, locked: LockedModel, folder: Path, checks: Checks) -> Verified:
    """Compare a folder of the store with the lock, and remember what was hashed.

    Files that others have in the snapshot are no differences; see `Verified.shared`.

    Raises:
        UnsafeModelError: a link leads out of the store.
    """
    ref = locked.ref
    is_snapshot = folder.parent.name == "snapshots"
    if folder.is_dir():
        check_links(folder, root=store.root, model=locked.repo)
    known: Mapping[str, Fingerprint] = {}
    if not checks.full:
        known = {**(store.known(ref, locked.commit) if is_snapshot else {}), **checks.memory.of(folder)}
    verified = verify_folder(
        folder, locked, known=known, strict=False, allow_links=True,
        before_hashing=checks.before_hashing, progress=checks.progress,
    )  # fmt: skip
    if is_snapshot:
        verified = with_shared(folder, verified)
    if verified.hashed:
        checks.memory.remember(folder, verified.fingerprints)
        if is_snapshot and checks.remembers and not verified.differences and not store.is_read_only():
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
    """Return a folder that holds what the lock says, fetched into the store where it is not there.

    Args:
        store: where it is looked for.
        locked: the model.
        deadline: of the whole.
        fetches: whether the Hub may be asked.
        checks: how files are checked.
        failures: failed fetches of this run.

    Raises:
        ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: it could not be fetched.
        ModelIntegrityError: its files are not as locked, and could not be fetched again.
        UnsafeModelError: a link leaves the store.
    """
    road = _LockedRoad(store, locked, deadline, checks, failures)
    lock = holding_lock(store, locked.ref, deadline, failures) if fetches and not store.is_read_only() else None
    with reading(locked.repo):
        if checks.remembers and snapshot_of(store, locked).is_dir():
            store.claim(locked.ref, locked.commit)  # first: from here on no `prune` of another project takes it
        found = follow(road, lock)
        if found.verified.differences:
            raise not_here(store, locked, found.verified.differences, fetches=fetches)
        path = found.path
        if found.verified.shared:
            path = _alone(store, locked, path, found.verified, checks, deadline)
    return Obtained(path, found.fetched)


@dataclass(frozen=True)
class FoundFolder:
    """A folder, compared with the lock, and the fetch that brought it, if there was one."""

    path: Path
    verified: Verified
    fetched: Fetched | None = None


@dataclass(frozen=True)
class _LockedRoad:
    """A `Road` to what the lock says."""

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
    """Return the folder that is as locked; else the snapshot's, which need not be there, and what is wrong with it.

    Raises:
        UnsafeModelError: a link leads out of the store.
    """
    snapshot = snapshot_of(store, locked)
    of_snapshot = verify_locked(store, locked, snapshot, checks)
    if not of_snapshot.differences:
        return snapshot, of_snapshot
    for _, folder in plain_folders(store.root, locked.ref):  # the user's own: used or not, never changed
        if (folder / CONFIG).is_file():
            verified = verify_locked(store, locked, folder, checks)
            if not verified.differences:
                return folder, verified
    return snapshot, of_snapshot


def _alone(
    store: Store, locked: LockedModel, snapshot: Path, verified: Verified, checks: Checks, deadline: Deadline
) -> Path:
    """Return a folder of links to the locked files alone, for nothing else of the snapshot may be loaded.

    Raises:
        ModelIntegrityError: there is none, and none may be made.
    """
    view = store.view(locked.ref, locked.commit, "\n".join(file.path for file in locked.files))
    can_write = checks.remembers and not store.is_read_only()
    lock = holding_lock(store, locked.ref, deadline) if can_write else None
    if follow(_ViewRoad(store, locked, snapshot, view, verified.fingerprints), lock):
        return view
    hint = "run `modelenv pull` as a user who may write this store: it sets the locked files apart"
    raise integrity_error(verified.shared, model=locked.repo, folder=snapshot, hint=hint)


@dataclass(frozen=True)
class _ViewRoad:
    """A `Road` to a folder of links to the locked files of a snapshot. `look` returns whether it is there."""

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


def not_here(
    store: Store, locked: LockedModel, differences: tuple[Difference, ...], *, fetches: bool
) -> ModelEnvError:
    """Return the error for differences from the lock that cannot be repaired here."""
    reason = "nothing may be written to it"
    hint = f"run `modelenv pull` where it may be written, or set {store.setting} to another folder"
    if not fetches:
        reason = "nothing is downloaded in this environment"
        hint = f"fill it with `modelenv pull --to {store.root}` where it may be written and the Hub can be reached"
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
    store: Store,
    locked: LockedModel,
    found: FoundFolder,
    deadline: Deadline,
    checks: Checks,
    failures: FailureLog | None = None,
    is_needed: Callable[[Difference], bool] = bool,
) -> FoundFolder:
    """Set aside what is wrong, fetch what is missing, and publish. The caller holds the model's lock.

    With `is_needed`, only those differences are repaired for which it returns true.
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
    fetch = BlobFetch(store, ref, snapshot.parent.parent / "blobs", progress=checks.progress)
    if is_offline() and fetch.lacks(wanted):
        raise not_here(store, locked, differences, fetches=True)
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
        hint = "another program changes this store: run again when it is done"
        raise integrity_error(left, model=locked.repo, folder=snapshot, hint=hint)
    store.record(ref, FoundModel(snapshot, Layout.HUB_CACHE, locked.commit), verified.fingerprints, whole=False)
    return FoundFolder(snapshot, verified, _fetched(locked, snapshot, blobs, began - deadline.remaining))


def _fetched(locked: LockedModel, snapshot: Path, blobs: FetchedBlobs, seconds: float) -> Fetched | None:
    if not blobs.requests:
        return None  # all of it was among the blobs
    found = FoundModel(snapshot, Layout.HUB_CACHE, locked.commit, checked=True)
    return Fetched(found, len(locked.files), blobs.bytes, blobs.requests, seconds)


def set_aside(store: Store, ref: ModelRef, path: Path, blob_id: str | None) -> None:
    """Move a wrong file away: its own blob behind the link, else the link or the file itself.

    A folder that is a link raises an `UnsafeModelError`, also where the file is missing and will be written.
    A link that leads to another blob than it should is wrong, but that blob need not be; and a blob of another model
    is not ours to move.
    """
    check_owned(store.root, ref, path)
    if not os.path.lexists(path):
        return
    blob = Path(os.path.realpath(path))
    is_damaged = path.is_symlink() and blob.name == blob_id and blob.exists() and owns(store.root, ref, blob)
    aside = store.set_aside(ref, blob if is_damaged else path)
    logger.warning("%s: %s is not as locked; it was set aside as %s", ref.repo_id, path, aside)


def _remember(store: Store, ref: ModelRef, folder: Path, fingerprints: Mapping[str, Fingerprint]) -> None:
    try:
        store.record(ref, FoundModel(folder, Layout.HUB_CACHE, ref.revision), fingerprints, whole=False)
    except (ConfigurationError, NoSpaceError) as error:  # it is right all the same; the next process hashes again
        logger.info("%s: what was hashed cannot be remembered: %s", ref.repo_id, error.what)
