"""Fetches a model from the Hub into a store, through `huggingface_hub`."""

from __future__ import annotations

import glob
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
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
from modelenv.fetching.leftovers import noting_parts
from modelenv.fetching.monitor import Monitor, monitored
from modelenv.fetching.offline_errors import offline_error
from modelenv.fetching.retries import RetryPolicy, with_retries
from modelenv.fetching.space import check_space_for
from modelenv.fetching.trouble import TryAgainError
from modelenv.files.layouts import CONFIG, CacheFolder, Layout, cache_folders
from modelenv.files.ownership import check_owned
from modelenv.references import ModelRef
from modelenv.store.model_files import ModelFiles
from modelenv.store.needed_files import is_read, plan_files
from modelenv.store.needs import lacking
from modelenv.store.store import FoundModel, Store

_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True)
class Fetched:
    """The result of a fetch.

    Attributes:
        found: The snapshot in the store, not yet recorded as checked.
        files: The number of files in the snapshot.
        bytes: The number of bytes of file content received.
        requests: The number of HTTP requests made to the Hub.
        seconds: The elapsed time in seconds.
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

    The caller holds the model's lock. Existing files are not fetched again. Temporary failures are retried, after the
    time that the Hub asks for. A file whose body breaks off is resumed.

    Raises:
        ModelNotFoundError: The Hub has no such model or revision, or offline mode is on.
        ModelDownloadError: The Hub could not be reached, refused a request, broke off a connection, asks to wait
            beyond the deadline, or sent an invalid name of a commit or a file.
        ModelLoadTimeoutError: The deadline passed.
        ModelIntegrityError: The Hub's listing and its info name different files.
        UnsafeModelError: The only weights are pickled, or a folder of the snapshot is a link.
        NoSpaceError: The files do not fit on the disk, which is checked before any of them is fetched, or it is full.
    """
    if is_offline():  # also reports an invalid variable, before the client prints it
        raise offline_error(store, ref)
    from huggingface_hub import HfApi

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
        path = _checked_snapshot(store, ref, commit, info, files, monitor, policy)
        # The fetched files can name others, such as shards with unusual names.
        while more := _lacking(path, ref, names, allow_pickle).difference(files):
            files = (*files, *sorted(more))
            path = _checked_snapshot(store, ref, commit, info, files, monitor, policy)
    found = FoundModel(path, Layout.HUB_CACHE, commit)
    seconds = time.monotonic() - started
    return Fetched(found, len(files), monitor.bytes_received, monitor.requests, seconds)


def _watched_info(api: Any, ref: ModelRef, monitor: Monitor) -> Any:
    monitor.watch()
    return api.model_info(ref.repo_id, revision=ref.revision, files_metadata=True)


def _checked_snapshot(
    store: Store, ref: ModelRef, commit: str, info: Any, files: Sequence[str], monitor: Monitor, policy: RetryPolicy
) -> Path:
    """Download the missing files, after checking that they belong to the model and fit on the disk."""
    check_names(files, ref)
    for name in files:  # the client would write through a link to a folder
        check_owned(store.root, ref, cache_folders(store.root, ref)[0].snapshot(commit) / name)
    check_space_for(store, ref, info.siblings or (), files)
    with noting_parts(store, ref):
        return with_retries(lambda: _snapshot(store, ref, commit, files, monitor), monitor, policy)


def _snapshot(store: Store, ref: ModelRef, commit: str, files: Sequence[str], monitor: Monitor) -> Path:
    """Download the missing files.

    Raises:
        TryAgainError: A request failed temporarily, or a file's size does not match the size that the Hub reported.
        ModelIntegrityError: The commit's listing lacks a file that the model's info names.
    """
    try:
        path = _downloaded(store, ref, commit, files, monitor)
    except OSError as error:
        if is_of_another_length(error):
            raise TryAgainError("a file's size does not match the size that the Hub reported", once=True) from error
        raise
    missing = [name for name in files if not (Path(path) / name).is_file()]
    if missing:
        # The client keeps a listing on disk, and in memory until the process ends. We can remove only the former.
        CacheFolder.of_snapshot(Path(path)).listing(commit).unlink(missing_ok=True)
        raise ModelIntegrityError(
            f"the Hub's listing lacks {len(missing)} of its files",
            model=ref.repo_id,
            expected=", ".join(files),
            found=f"no {missing[0]}",
            hint="try again in a new process, which requests the listing again",
        )
    return Path(path)


def _downloaded(store: Store, ref: ModelRef, commit: str, files: Sequence[str], monitor: Monitor) -> str:
    from huggingface_hub import snapshot_download

    monitor.watch()
    path: str = snapshot_download(
        ref.repo_id,
        revision=commit,
        cache_dir=store.root,
        allow_patterns=[glob.escape(name) for name in files],
        headers=monitor.headers,
        tqdm_class=download_bars(),
    )
    return path


def is_of_another_length(error: OSError) -> bool:
    """Whether a file's size differs from the reported one: the client says so, or requested bytes beyond the end."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status == _RANGE_NOT_SATISFIABLE or (
        type(error) is OSError and str(error).startswith("Consistency check failed")
    )


def ask_listing(store: Store, ref: ModelRef, snapshot: Path, deadline: Deadline) -> int:
    """Get the Hub's listing of a commit in the store, and return the number of requests that this took.

    The client keeps the listing of each commit, so it is requested only once. The caller holds the model's lock.

    Args:
        store: The store that contains the commit.
        ref: The model, with the commit as its revision.
        snapshot: The folder of that commit.
        deadline: The deadline for the response.

    Raises:
        ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError: The Hub could not be reached, or no longer has
            the commit.
    """
    assert ref.revision is not None  # noqa: S101 - see `ref` above
    commit, policy = ref.revision, RetryPolicy(retries=1, retries_unanswered=1)
    # The client keeps the listing when it downloads a file, so we request a file that already exists.
    there = sorted(path.name for path in snapshot.iterdir() if path.is_file())
    file = CONFIG if CONFIG in there else next(iter(there), CONFIG)
    with monitored(deadline, ref.repo_id) as monitor, translated(store, ref, monitor):
        with_retries(lambda: _downloaded(store, ref, commit, [file], monitor), monitor, policy)
    return monitor.requests


def unlike_listing(
    store: Store, ref: ModelRef, found: FoundModel, *, allow_pickle: bool = False
) -> tuple[str, ...] | None:
    """Return the files of a snapshot that a load can read, and that are missing or differ in size from the listing.

    Makes no requests.

    Returns:
        The paths of the files, or None if the cache has no listing of this commit.

    Raises:
        ModelIntegrityError, UnsafeModelError: See `plan_files`.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        cache = CacheFolder.of_snapshot(found.path).path.parent
        tree = get_cached_repo_tree(ref.repo_id, revision=found.commit, cache_dir=cache)
    except CachedRepoTreeNotFoundError:
        return None
    sizes = {file.path: file.size for file in tree}
    place = str(store.root)

    def unlike(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if is_read(name) and _size(found.path / name) != sizes[name])

    files = plan_files(sizes, model=ref.repo_id, allow_pickle=allow_pickle, place=place)
    # Once these are right, the files that they name are known, such as shards with unusual names.
    return unlike(files) or unlike(sorted(_lacking(found.path, ref, sizes, allow_pickle).difference(files)))


def _lacking(folder: Path, ref: ModelRef, offered: Collection[str], allow_pickle: bool) -> set[str]:
    files = ModelFiles.in_folder(folder, ref.repo_id)
    return lacking(files, offered, modules=False, pickles=allow_pickle)


def _size(path: Path) -> int | None:
    """Return the size of a file, or None if it is missing or not a regular file."""
    return path.stat().st_size if path.is_file() else None


@contextmanager
def translated(store: Store, ref: ModelRef, monitor: Monitor) -> Iterator[None]:
    """Context manager: convert exceptions of `huggingface_hub` to our errors, without tokens in the text."""
    try:
        yield
    except ModelEnvError:
        raise
    except Exception as error:  # noqa: BLE001 - the client raises errors of many families
        if not isinstance(error, TryAgainError):
            monitor.raise_if_late()
        raise our_error(store, ref, error) from None
