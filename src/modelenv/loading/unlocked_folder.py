"""From a model that is not locked to a checked folder: found in the store, or fetched into it."""

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
from modelenv.loading.look_and_mend import Obtained, follow, holding_lock
from modelenv.references import ModelRef
from modelenv.store.model_folder import check_model_folder
from modelenv.store.store import FoundModel, Store

logger = logging.getLogger("modelenv")
_LISTING_SECONDS = 10.0  # how long to wait for the Hub's listing of a commit, before the files are judged without it


def find_model(store: Store, ref: ModelRef, *, allow_pickle: bool = False) -> Obtained:
    """Return the model's folder in a store that is never filled by a load, such as a volume. Writes nothing.

    Raises:
        ModelNotFoundError: The model is in none of the store's folders; the error lists them.
        ModelIntegrityError: The model's files are incomplete or damaged.
        UnsafeModelError: The weights are pickled, or a link leads out of the store.
    """
    with reading(ref.repo_id):
        found = store.find(ref)
        if found is None:
            raise ModelNotFoundError(
                "not in this store",
                model=ref.repo_id,
                tried=store.places(ref),
                hint="put the model into one of these folders; nothing is downloaded in this environment",
            )
        return _checked_as_found(store, ref, found, allow_pickle, fetches=False)


def find_or_fetch_model(
    store: Store,
    ref: ModelRef,
    deadline: Deadline,
    *,
    allow_pickle: bool = False,
    failures: FailureLog | None = None,
) -> Obtained:
    """Return the model's folder, fetched into the store if necessary.

    A snapshot that modelenv has recorded needs no request. Any other snapshot is first compared with the Hub's
    listing, and the missing files are fetched. Only one process at a time fetches a model; the others wait, and then
    find it.

    Raises:
        ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: The model could not be fetched.
        ModelIntegrityError, UnsafeModelError: See `find_model`.
    """
    lock = holding_lock(store, ref, deadline, failures, allow_pickle=allow_pickle)
    with reading(ref.repo_id):
        obtained = follow(_UnlockedRoad(store, ref, allow_pickle, deadline, failures), lock)
    assert obtained is not None  # noqa: S101 - the road mends or raises
    return obtained


@dataclass(frozen=True)
class _UnlockedRoad:
    """The `Road` to the newest commit in the store, or else on the Hub. `look` returns None if the store has none."""

    store: Store
    ref: ModelRef
    allow_pickle: bool
    deadline: Deadline
    failures: FailureLog | None

    def look(self) -> Obtained | None:
        found = self.store.find(self.ref)
        if found is None or not (self.store.is_read_only() or _is_ready(found)):
            return None
        return _checked_as_found(self.store, self.ref, found, self.allow_pickle)

    def is_right(self, found: Obtained | None) -> bool:
        return found is not None

    def mend(self, found: Obtained | None) -> Obtained | None:
        store, ref, pickles = self.store, self.ref, self.allow_pickle
        remove_leftovers(store, ref)
        there = store.find(ref)
        obtained = None if there is None else _completed(store, ref, there, self.deadline, pickles, self.failures)
        if obtained is None:
            obtained = _fetched(store, ref, self.deadline, pickles, self.failures)
        check_model_folder(obtained.path, root=store.root, model=ref.repo_id, allow_pickle=pickles)
        return obtained


def _is_ready(found: FoundModel) -> bool:
    """Whether the model can be used without a request.

    Plain folders are the user's own, and always used as they are. A snapshot is ready once it was compared with the
    Hub's listing. In offline mode, checked hashes are enough.
    """
    return found.layout is not Layout.HUB_CACHE or found.whole or (found.checked and is_offline())


def _checked_as_found(
    store: Store, ref: ModelRef, found: FoundModel, allow_pickle: bool, *, fetches: bool = True
) -> Obtained:
    """Return the model in the store, checked as well as possible without requests or changes.

    `fetches` is whether missing files would be fetched in this environment if offline mode were off.
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
                f"{counted(len(lacking), 'file')} missing or incomplete",
                model=ref.repo_id,
                expected=f"{', '.join(lacking)}, with the size that the Hub reported",
                found=f"missing, or with another size, in {found.path}",
                hint=Obtained(found.path).hint,
            )
    try:
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    except ModelIntegrityError:
        if found.layout is Layout.HUB_CACHE and offline and broken_links(found.path):
            raise offline_error(store, ref, found) from None
        raise
    return Obtained(found.path, whole=listed)


def _completed(
    store: Store,
    ref: ModelRef,
    found: FoundModel,
    deadline: Deadline,
    allow_pickle: bool,
    failures: FailureLog | None,
) -> Obtained | None:
    """Complete a snapshot of another program or of a killed process, and return it, or None if it cannot be used.

    The caller holds the model's lock.
    """
    if is_offline():  # set nothing aside that cannot be fetched again
        obtained = _checked_as_found(store, ref, found, allow_pickle)
        store.record(ref, found, whole=obtained.whole)
        return obtained
    _set_damaged_aside(store, ref, found)
    cache = replace(store, root=CacheFolder.of_snapshot(found.path).path.parent)
    commit = ModelRef(ref.repo_id, found.commit)
    requests = 0
    lacking = unlike_listing(store, ref, found, allow_pickle=allow_pickle)
    if lacking is None and commit.is_commit:
        requests = _get_listing(cache, commit, found.path, deadline, failures)
        lacking = unlike_listing(store, ref, found, allow_pickle=allow_pickle)
    if lacking is None:
        return _adopted_without_listing(store, ref, found, allow_pickle, requests)
    if not lacking:
        store.record(ref, found)
        return Obtained(found.path, requests=requests)
    for path in (found.path / name for name in lacking):
        if os.path.lexists(path):
            store.set_aside(ref, path)
    fetched = _fetched(cache, commit, deadline, allow_pickle, failures)
    return replace(fetched, requests=requests)


def _get_listing(store: Store, ref: ModelRef, snapshot: Path, deadline: Deadline, failures: FailureLog | None) -> int:
    """Fetch the Hub's listing of the commit if possible, and return the number of requests. A failure is logged."""
    asking = Deadline(min(_LISTING_SECONDS, deadline.remaining))
    try:
        if failures is not None:
            failures.raise_if_failed(ref, asking)
        return ask_listing(store, ref, snapshot, asking)
    except (ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError) as error:
        if failures is not None:
            failures.remember(ref, error, asking)
        logger.warning(
            "%s: could not check with the Hub whether the files in the cache are complete: %s", ref, error.what
        )
        return 0


def _adopted_without_listing(
    store: Store, ref: ModelRef, found: FoundModel, allow_pickle: bool, requests: int
) -> Obtained | None:
    """Return a snapshot without a listing if its files look complete, else None. The next load tries again."""
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
    """Fetch the model. Files that arrive damaged are set aside, and fetched once more."""
    first = fetch(store, ref, deadline, allow_pickle=allow_pickle)
    if not _set_damaged_aside(store, ref, first.found):
        return first
    second = fetch(store, ref, deadline, allow_pickle=allow_pickle)
    damaged = _set_damaged_aside(store, ref, second.found)
    if damaged:
        raise ModelIntegrityError(
            f"{counted(len(damaged), 'file')} of the model arrived damaged twice",
            model=ref.repo_id,
            expected=f"the hash {damaged[0].name}",
            found=f"other content, set aside as {damaged[0]}",
            hint="try again later; if that does not help, the Hub, a proxy or a mirror changes the files",
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
            found=f"other content in {damaged[0]}",
            hint="try again where files can be downloaded: a damaged file is then downloaded again",
        )
