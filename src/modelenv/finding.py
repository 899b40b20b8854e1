"""From a name to a folder that may be loaded: found in the store, or fetched into it, and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.download import Fetched, fetch, is_complete
from modelenv.errors import ModelEnvError, ModelIntegrityError, ModelNotFoundError
from modelenv.failures import FailureLog
from modelenv.integrity import check_model_folder
from modelenv.layouts import Layout
from modelenv.references import ModelRef
from modelenv.store import FoundModel, Store


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
    found = _find(store, ref)
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
    found = _find(store, ref)
    fetched = None
    if found is not None and store.is_read_only():
        _check_hashes(store, ref, found)
    elif not _is_ready(found):
        with store.lock(ref, deadline):
            found = _find(store, ref)  # another process may have fetched it meanwhile
            if not _is_ready(found):
                found, fetched = _adopt_or_fetch(store, ref, found, deadline, allow_pickle, failures)
    assert found is not None  # noqa: S101 - ready, adopted or fetched
    check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    return Obtained(found.path, fetched)


def _find(store: Store, ref: ModelRef) -> FoundModel | None:
    try:
        return store.find(ref)
    except PermissionError as error:
        raise ModelIntegrityError(
            "its folder may not be read",
            model=ref.repo_id,
            found=f"{error.filename}: {error.strerror}",
            hint="give this user the right to read it",
        ) from None


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
    if found is not None and _is_adoptable(store, ref, found, allow_pickle):
        return store.record(ref, found), None
    if failures is not None:
        failures.raise_if_failed(ref)
    try:
        fetched = fetch(store, ref, deadline, allow_pickle=allow_pickle)
        _check_hashes(store, ref, fetched.found)
    except ModelEnvError as error:
        if failures is not None:
            failures.remember(ref, error)
        raise
    store.remember_revision(ref, fetched.found.commit or "")
    return store.record(ref, fetched.found), fetched


def _is_adoptable(store: Store, ref: ModelRef, found: FoundModel, allow_pickle: bool) -> bool:
    """Whether a snapshot that something else left here, or a killed process, is whole. What is damaged is removed."""
    for blob in store.damaged_blobs(found):
        blob.unlink()
    complete = is_complete(store, ref, found, allow_pickle=allow_pickle)
    if complete is not None:
        return complete
    try:
        check_model_folder(found.path, root=store.root, model=ref.repo_id, allow_pickle=allow_pickle)
    except ModelIntegrityError:
        return False
    return True


def _check_hashes(store: Store, ref: ModelRef, found: FoundModel) -> None:
    damaged = store.damaged_blobs(found)
    if damaged:
        raise ModelIntegrityError(
            f"{len(damaged)} of its files are damaged",
            model=ref.repo_id,
            expected=f"the hash {damaged[0].name}",
            found=f"other bytes in {damaged[0]}",
            hint="try again where fetching is allowed: a damaged file is then fetched anew",
        )
