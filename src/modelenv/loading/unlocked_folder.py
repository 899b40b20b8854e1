"""From a name to a folder that may be loaded: found in the store, or fetched into it, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from modelenv.amounts import counted
from modelenv.deadlines import Deadline
from modelenv.environment.libraries import is_offline
from modelenv.errors import ModelEnvError, ModelIntegrityError, ModelLoadTimeoutError, ModelNotFoundError
from modelenv.fetching.failures import FailureLog
from modelenv.fetching.offline_errors import offline_error
from modelenv.fetching.snapshot import Fetched, fetch, is_complete, remove_leftovers
from modelenv.files.disk import reading
from modelenv.files.layouts import Layout
from modelenv.references import ModelRef
from modelenv.store.integrity import check_model_folder
from modelenv.store.store import FoundModel, Store


@dataclass(frozen=True)
class Obtained:
    """A folder that may be loaded, and the fetch that brought it, if there was one."""

    path: Path
    fetched: Fetched | None = None


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
        _check_hashes(store, ref, found)
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    return Obtained(found.path)


def find_or_fetch_model(
    store: Store,
    ref: ModelRef,
    deadline: Deadline,
    *,
    allow_pickle: bool = False,
    failures: FailureLog | None = None,
) -> Obtained:
    """Return the model's folder, fetched into the store if it is not there. A model in the store asks no network.

    One process at a time fetches a model; the others wait for it and then find it.

    Raises:
        ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: it could not be fetched.
        ModelIntegrityError, UnsafeModelError: as `find_model`.
    """
    with reading(ref.repo_id):
        found, fetched = store.find(ref), None
        if found is not None and store.is_read_only():
            _check_hashes(store, ref, found)
        elif not _is_ready(found):
            with holding_lock(store, ref, deadline, failures, allow_pickle=allow_pickle):
                found = store.find(ref)  # another process may have fetched it meanwhile
                if not _is_ready(found):
                    remove_leftovers(store, ref)
                    found, fetched = _adopt_or_fetch(store, ref, found, deadline, allow_pickle, failures)
        assert found is not None  # noqa: S101 - ready, adopted or fetched
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    return Obtained(found.path, fetched)


@contextmanager
def holding_lock(
    store: Store,
    ref: ModelRef,
    deadline: Deadline,
    failures: FailureLog | None = None,
    *,
    allow_pickle: bool = False,
) -> Iterator[None]:
    """Hold the model's lock; who waited for it in vain fails as the other process did, if that is known."""
    held = False
    try:
        with store.lock(ref, deadline):
            held = True
            yield
    except ModelLoadTimeoutError:
        if not held and failures is not None:
            failures.raise_if_failed(ref, deadline, allow_pickle=allow_pickle)
        raise


def _is_ready(found: FoundModel | None) -> bool:
    """Plain folders are the user's own, and never touched; a snapshot is ready once it was checked."""
    return found is not None and (found.checked or found.layout is not Layout.HUB_CACHE)


def _adopt_or_fetch(
    store: Store,
    ref: ModelRef,
    found: FoundModel | None,
    deadline: Deadline,
    allow_pickle: bool,
    failures: FailureLog | None,
) -> tuple[FoundModel, Fetched | None]:
    if found is not None and is_offline():
        _check_hashes(store, ref, found)  # nothing is set aside that cannot be fetched anew
    if found is not None and _is_adoptable(store, ref, found, allow_pickle):
        return store.record(ref, found), None
    if is_offline():
        raise offline_error(store, ref, found)
    if failures is not None:
        failures.raise_if_failed(ref, deadline, allow_pickle=allow_pickle)
    try:
        fetched = _fetch_undamaged(store, ref, deadline, allow_pickle)
    except ModelEnvError as error:
        if failures is not None:
            failures.remember(ref, error, deadline)
        raise
    store.remember_revision(ref, fetched.found.commit or "")
    return store.record(ref, fetched.found), fetched


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


def _is_adoptable(store: Store, ref: ModelRef, found: FoundModel, allow_pickle: bool) -> bool:
    """Whether a snapshot that something else left here, or a killed process, is whole. Damage is set aside."""
    _set_damaged_aside(store, ref, found)
    complete = is_complete(store, ref, found, allow_pickle=allow_pickle)
    if complete is not None:
        return complete
    try:
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    except ModelIntegrityError:
        return False
    return True


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
