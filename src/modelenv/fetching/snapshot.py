"""Fetching a model from the Hub into a store: decide, then one effect, through `huggingface_hub`."""

from __future__ import annotations

import glob
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelenv.deadlines import FETCHING, Deadline
from modelenv.environment.libraries import is_offline
from modelenv.environment.progress_bars import download_bars
from modelenv.errors import ModelEnvError, ModelIntegrityError
from modelenv.fetching.answers import check_names, commit_of
from modelenv.fetching.errors import our_error
from modelenv.fetching.monitor import Monitor, monitored
from modelenv.fetching.offline_errors import offline_error
from modelenv.fetching.retries import RetryPolicy, with_retries
from modelenv.fetching.space import check_space_for
from modelenv.fetching.trouble import TryAgainError
from modelenv.files.disk import write_atomically, writing
from modelenv.files.layouts import Layout, hub_cache_folders
from modelenv.files.ownership import check_owned
from modelenv.references import ModelRef
from modelenv.store.needed_files import plan_files
from modelenv.store.store import FoundModel, Store

_RANGE_NOT_SATISFIABLE = 416
OWN_PART = ".modelenv.incomplete"
"""The suffix of files that modelenv itself is receiving."""


@dataclass(frozen=True)
class Fetched:
    """What a fetch did.

    Attributes:
        found: the snapshot in the store; not yet recorded as checked.
        files: how many files the snapshot has.
        bytes: bytes of file content received.
        requests: HTTP requests made to the Hub.
        seconds: wall time.
    """

    found: FoundModel
    files: int
    bytes: int
    requests: int
    seconds: float


def fetch(
    store: Store,
    ref: ModelRef,
    deadline: Deadline,
    *,
    allow_pickle: bool = False,
    policy: RetryPolicy | None = None,
) -> Fetched:
    """Fetch the files of `ref` that a load needs, into the Hugging Face cache layout under the store's root.

    The caller holds the model's lock. Files that are there already are not fetched again. What may pass is tried
    again, after the time that the Hub names; a file whose body breaks off is resumed.

    Raises:
        ModelNotFoundError: the Hub has no such model or revision, or offline mode is on.
        ModelDownloadError: the Hub could not be reached, refused, or broke off, asks to wait beyond the deadline, or
            answers what cannot be the name of a commit or a file.
        ModelLoadTimeoutError: the deadline passed.
        ModelIntegrityError: the Hub's listing and its info name different files.
        UnsafeModelError: the only weights are pickled, or a folder of the snapshot is a link.
        NoSpaceError: the files do not fit on the disk, which is known before any of them is fetched, or it is full.
    """
    from huggingface_hub import HfApi

    if is_offline():
        raise offline_error(store, ref)
    policy = policy or RetryPolicy()
    started = time.monotonic()
    fetching, watched = deadline.stages.doing(FETCHING), monitored(deadline, ref.repo_id)
    with fetching, watched as monitor, translated(store, ref, monitor):
        api = HfApi(headers=monitor.headers)
        info = with_retries(lambda: _watched_info(api, ref, monitor), monitor, policy)
        commit = monitor.commit = commit_of(info, ref)
        names = [sibling.rfilename for sibling in info.siblings or ()]
        place = f"{api.endpoint}/{ref}"
        files = plan_files(names, model=ref.repo_id, allow_pickle=allow_pickle, place=place)
        check_names(files, ref)
        for name in files:  # the client would write through a link to a folder
            check_owned(store.root, ref, hub_cache_folders(store.root, ref)[0] / "snapshots" / commit / name)
        check_space_for(store, ref, info.siblings or (), files)
        with _noting_parts(store, ref):
            path = with_retries(lambda: _snapshot(store, ref, commit, files, monitor), monitor, policy)
    found = FoundModel(path, Layout.HUB_CACHE, commit)
    seconds = time.monotonic() - started
    return Fetched(found, len(files), monitor.bytes_received, monitor.requests, seconds)


def _watched_info(api: Any, ref: ModelRef, monitor: Monitor) -> Any:
    monitor.watch()
    return api.model_info(ref.repo_id, revision=ref.revision, files_metadata=True)


def _snapshot(store: Store, ref: ModelRef, commit: str, files: Sequence[str], monitor: Monitor) -> Path:
    """Download what is missing of the files.

    Raises:
        TryAgainError: a request failed in a way that may pass, or a file has another length than announced.
        ModelIntegrityError: the listing of the commit lacks a file that the model's info names.
    """
    from huggingface_hub import snapshot_download

    monitor.watch()
    try:
        path = snapshot_download(
            ref.repo_id,
            revision=commit,
            cache_dir=store.root,
            allow_patterns=[glob.escape(name) for name in files],
            headers=monitor.headers,
            tqdm_class=download_bars(),
        )
    except OSError as error:
        if is_of_another_length(error):
            raise TryAgainError("a file is not as long as the Hub announced it", once=True) from error
        raise
    missing = [name for name in files if not (Path(path) / name).is_file()]
    if missing:
        # The client keeps a listing on disk, and in its memory until the process ends; the disk is ours to mend.
        (Path(path).parent.parent / "trees" / f"{commit}.json").unlink(missing_ok=True)
        raise ModelIntegrityError(
            f"the Hub's listing lacks {len(missing)} of its files",
            model=ref.repo_id,
            expected=", ".join(files),
            found=f"none of the name {missing[0]}",
            hint="try again in a new process, which asks for the listing anew",
        )
    return Path(path)


def is_of_another_length(error: OSError) -> bool:
    """Whether a file came with another length than announced: the client says so, or asks for more than there is."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status == _RANGE_NOT_SATISFIABLE or (
        type(error) is OSError and str(error).startswith("Consistency check failed")
    )


def remove_leftovers(store: Store, ref: ModelRef) -> None:
    """Remove the parts of files and snapshots that killed processes left; the caller holds the model's lock.

    Only our own parts: those with our suffix, and those that the client began during a fetch of ours that did not
    end (see `_noting_parts`). What other programs left stays, since they may resume it, and so does a part that
    another program is downloading now: the client holds a lock of that file's name meanwhile.
    """
    from filelock import FileLock, Timeout

    if store.staging(ref).exists():
        with store.writing(ref.repo_id):
            shutil.rmtree(store.staging(ref))
    noted = _noted_parts(store, ref)
    for folder in hub_cache_folders(store.root, ref):
        for part in _parts(folder):
            if not part.name.endswith(OWN_PART) and (noted is None or part.name in noted):
                continue
            lock = folder.parent / ".locks" / folder.name / f"{part.name.partition('.')[0]}.lock"
            with store.writing(ref.repo_id):
                lock.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with FileLock(lock, timeout=0):
                        part.unlink(missing_ok=True)
                except Timeout:
                    continue
    with writing(store.root, ref.repo_id):
        _parts_note(store, ref).unlink(missing_ok=True)


@contextmanager
def _noting_parts(store: Store, ref: ModelRef) -> Iterator[None]:
    """Write down which parts are in the store before the client fetches; a fetch that is killed leaves this note.

    `huggingface_hub` 2.4 never goes on with a part: its name is used by one process once.
    """
    note = _parts_note(store, ref)
    names = [part.name for folder in hub_cache_folders(store.root, ref) for part in _parts(folder)]
    with writing(store.root, ref.repo_id):
        write_atomically(note, json.dumps(names))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _noted_parts(store: Store, ref: ModelRef) -> set[str] | None:
    """Return the parts that were there before a fetch of ours that did not end; None if every fetch ended."""
    try:
        names = json.loads(_parts_note(store, ref).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return set(map(str, names)) if isinstance(names, list) else None


def _parts_note(store: Store, ref: ModelRef) -> Path:
    return store.side(ref) / "parts.json"


def _parts(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("blobs/*.incomplete") if path.is_file())


def is_complete(store: Store, ref: ModelRef, found: FoundModel, *, allow_pickle: bool = False) -> bool | None:
    """Return whether a snapshot holds every file a load needs, as its cached listing says; None without a listing."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        cache = found.path.parent.parent.parent
        tree = get_cached_repo_tree(ref.repo_id, revision=found.commit, cache_dir=cache)
    except CachedRepoTreeNotFoundError:
        return None
    names = [file.path for file in tree]
    files = plan_files(names, model=ref.repo_id, allow_pickle=allow_pickle, place=str(store.root))
    return all((found.path / name).is_file() for name in files)


@contextmanager
def translated(store: Store, ref: ModelRef, monitor: Monitor) -> Iterator[None]:
    """Turn the errors of `huggingface_hub` into ours, without a token in the text."""
    try:
        yield
    except ModelEnvError:
        raise
    except Exception as error:  # noqa: BLE001 - the client raises errors of many families
        if not isinstance(error, TryAgainError):
            monitor.raise_if_late()
        raise our_error(store, ref, error) from None
