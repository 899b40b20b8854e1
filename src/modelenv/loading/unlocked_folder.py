"""From a name to a folder that may be loaded: found in the store, or fetched into it, and checked."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from modelenv.amounts import counted
from modelenv.deadlines import Deadline
from modelenv.environment.libraries import is_offline
from modelenv.errors import (
    ModelDownloadError,
    ModelEnvError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
)
from modelenv.fetching.failures import FailureLog
from modelenv.fetching.leftovers import remove_leftovers
from modelenv.fetching.offline_errors import offline_error
from modelenv.fetching.snapshot import Fetched, ask_listing, fetch, unlike_listing
from modelenv.files.disk import reading
from modelenv.files.layouts import CacheFolder, Layout
from modelenv.files.links import broken_links
from modelenv.loading.folders import Obtained, follow, holding_lock
from modelenv.references import ModelRef
from modelenv.store.model_folder import check_model_folder
from modelenv.store.store import FoundModel, Store

logger = logging.getLogger("modelenv")
_ASKING = 10.0  # seconds that the Hub may take to say which files a commit has; without it the files are judged


def find_model(store: Store, ref: ModelRef, *, allow_pickle: bool = False) -> Obtained:
    """Return the model's folder in a store that must hold it, such as a volume. Writes nothing.

    Raises:
        ModelNotFoundError: it is in none of the store's layouts; the error lists them.
        ModelIntegrityError: its files are incomplete or damaged.
        UnsafeModelError: its weights are pickled, or a link leaves the store.
    """
    with reading(ref.repo_id):
        found = store.find(ref)
        if found is None:
            raise ModelNotFoundError(
                "not in this store",
                model=ref.repo_id,
                tried=store.places(ref),
                hint="put the model there; nothing is downloaded in this environment",
            )
        return _as_it_is(store, ref, found, allow_pickle, fetches=False)


def find_or_fetch_model(
    store: Store,
    ref: ModelRef,
    deadline: Deadline,
    *,
    allow_pickle: bool = False,
    failures: FailureLog | None = None,
) -> Obtained:
    """Return the model's folder, fetched into the store if it is not there.

    A snapshot that modelenv did not record is compared with the Hub's listing first, and what it lacks is fetched.
    One that is recorded needs no request. One process at a time fetches a model; the others wait for it and then find
    it.

    Raises:
        ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: it could not be fetched.
        ModelIntegrityError, UnsafeModelError: as `find_model`.
    """
    lock = holding_lock(store, ref, deadline, failures, allow_pickle=allow_pickle)
    with reading(ref.repo_id):
        obtained = follow(_UnlockedRoad(store, ref, allow_pickle, deadline, failures), lock)
    assert obtained is not None  # noqa: S101 - the road mends or raises
    return obtained


@dataclass(frozen=True)
class _UnlockedRoad:
    """A `Road` to the newest commit that the store has, or else the Hub. `look` returns None without one."""

    store: Store
    ref: ModelRef
    allow_pickle: bool
    deadline: Deadline
    failures: FailureLog | None

    def look(self) -> Obtained | None:
        found = self.store.find(self.ref)
        if found is None or not (self.store.is_read_only() or _is_ready(found)):
            return None
        return _as_it_is(self.store, self.ref, found, self.allow_pickle)

    def is_right(self, found: Obtained | None) -> bool:
        return found is not None

    def mend(self, found: Obtained | None) -> Obtained | None:
        store, ref, pickles = self.store, self.ref, self.allow_pickle
        remove_leftovers(store, ref)
        there = store.find(ref)
        obtained = None if there is None else _adopted(store, ref, there, self.deadline, pickles, self.failures)
        if obtained is None:
            obtained = _fetched(store, ref, self.deadline, pickles, self.failures)
        check_model_folder(obtained.path, root=store.root, model=ref.repo_id, allow_pickle=pickles)
        return obtained


def _is_ready(found: FoundModel) -> bool:
    """Plain folders are the user's own, and never touched; a snapshot is ready once it was compared with the listing.

    While the Hub cannot be asked, it is ready once its hashes were checked.
    """
    return found.layout is not Layout.HUB_CACHE or found.whole or (found.checked and is_offline())


def _as_it_is(
    store: Store, ref: ModelRef, found: FoundModel, allow_pickle: bool, *, fetches: bool = True
) -> Obtained:
    """Return what is in the store, checked as far as that is possible without a request or a change.

    `fetches` says whether this environment would fetch what is missing, were it not for offline mode.
    """
    offline = fetches and is_offline()
    listed = found.whole
    if found.layout is Layout.HUB_CACHE and not found.whole:
        if not found.checked:
            _check_hashes(store, ref, found)
        lacking = unlike_listing(store, ref, found, allow_pickle=allow_pickle)
        listed = lacking is not None
        if lacking and offline:
            raise offline_error(store, ref, found, lacking)
        if lacking:
            raise ModelIntegrityError(
                f"{len(lacking)} of its files are missing or incomplete",
                model=ref.repo_id,
                expected=f"{', '.join(lacking)} as listed by the Hub",
                found=f"not so in {found.path}",
                hint=Obtained(found.path).hint,
            )
    try:
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    except ModelIntegrityError:
        if found.layout is Layout.HUB_CACHE and offline and broken_links(found.path):
            raise offline_error(store, ref, found) from None
        raise
    return Obtained(found.path, whole=listed)


def _adopted(
    store: Store,
    ref: ModelRef,
    found: FoundModel,
    deadline: Deadline,
    allow_pickle: bool,
    failures: FailureLog | None,
) -> Obtained | None:
    """Return a snapshot that something else left here, or a killed process, with what it lacked; None if it is gone.

    The caller holds the model's lock.
    """
    if is_offline():  # nothing is set aside that cannot be fetched anew
        obtained = _as_it_is(store, ref, found, allow_pickle)
        store.record(ref, found, whole=obtained.whole)
        return obtained
    _set_damaged_aside(store, ref, found)
    cache = replace(store, root=CacheFolder.of_snapshot(found.path).path.parent)
    commit = ModelRef(ref.repo_id, found.commit)
    requests = 0
    lacking = unlike_listing(store, ref, found, allow_pickle=allow_pickle)
    if lacking is None and commit.is_commit:
        requests = _ask_listing(cache, commit, found.path, deadline, failures)
        lacking = unlike_listing(store, ref, found, allow_pickle=allow_pickle)
    if lacking is None:
        return _judged_by_its_files(store, ref, found, allow_pickle, requests)
    if not lacking:
        store.record(ref, found)
        return Obtained(found.path, requests=requests)
    for path in (found.path / name for name in lacking):
        if os.path.lexists(path):
            store.set_aside(ref, path)
    fetched = _fetched(cache, commit, deadline, allow_pickle, failures)
    return replace(fetched, requests=requests)


def _ask_listing(store: Store, ref: ModelRef, snapshot: Path, deadline: Deadline, failures: FailureLog | None) -> int:
    """Ask the Hub which files the commit has; return how many requests that took. It need not answer."""
    asking = Deadline(min(_ASKING, deadline.remaining))
    try:
        if failures is not None:
            failures.raise_if_failed(ref, asking)
        return ask_listing(store, ref, snapshot, asking)
    except (ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError) as error:
        if failures is not None:
            failures.remember(ref, error, asking)
        logger.warning(
            "%s: the Hub could not be asked whether its files in the cache are complete: %s", ref, error.what
        )
        return 0


def _judged_by_its_files(
    store: Store, ref: ModelRef, found: FoundModel, allow_pickle: bool, requests: int
) -> Obtained | None:
    """Return a snapshot of which there is no listing, if its files make a model; the next load asks again."""
    try:
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    except ModelIntegrityError:
        return None
    store.record(ref, found, whole=False)
    return Obtained(found.path, whole=False, requests=requests)


def _fetched(
    store: Store, ref: ModelRef, deadline: Deadline, allow_pickle: bool, failures: FailureLog | None
) -> Obtained:
    if failures is not None:
        failures.raise_if_failed(ref, deadline, allow_pickle=allow_pickle)
    try:
        fetched = _fetch_undamaged(store, ref, deadline, allow_pickle)
    except ModelEnvError as error:
        if failures is not None:
            failures.remember(ref, error, deadline)
        raise
    store.remember_revision(ref, fetched.found.commit or "")
    store.record(ref, fetched.found)
    return Obtained(fetched.found.path, fetched)


def _fetch_undamaged(store: Store, ref: ModelRef, deadline: Deadline, allow_pickle: bool) -> Fetched:
    """Fetch the model; what came damaged is fetched anew, once. A damaged file never stays."""
    first = fetch(store, ref, deadline, allow_pickle=allow_pickle)
    if not _set_damaged_aside(store, ref, first.found):
        return first
    second = fetch(store, ref, deadline, allow_pickle=allow_pickle)
    damaged = _set_damaged_aside(store, ref, second.found)
    if damaged:
        raise ModelIntegrityError(
            f"{counted(len(damaged), 'file')} of the model came damaged, twice",
            model=ref.repo_id,
            expected=f"the hash {damaged[0].name}",
            found=f"other bytes; they were set aside as {damaged[0]}",
            hint="try again later; if it stays so, the Hub or a proxy or mirror before it changes the files",
        )
    return replace(
        second,
        bytes=first.bytes + second.bytes,
        requests=first.requests + second.requests,
        seconds=first.seconds + second.seconds,
    )


def _set_damaged_aside(store: Store, ref: ModelRef, found: FoundModel) -> tuple[Path, ...]:
    return tuple(store.set_aside(ref, blob) for blob in store.damaged_blobs(ref, found))


def _check_hashes(store: Store, ref: ModelRef, found: FoundModel) -> None:
    damaged = store.damaged_blobs(ref, found)
    if damaged:
        names = [path.name for path in found.path.rglob("*") if path.resolve() == damaged[0].resolve()]
        raise ModelIntegrityError(
            f"{counted(len(damaged), 'file')} of the model {'is' if len(damaged) == 1 else 'are'} damaged",
            model=ref.repo_id,
            expected=f"{' and '.join(names)} with the hash {damaged[0].name}",
            found=f"other bytes in {damaged[0]}",
            hint="try again where fetching is allowed: a damaged file is then fetched anew",
        )
