"""Fetching a model from the Hub into a store: decide, then one effect, through `huggingface_hub`."""

from __future__ import annotations

import errno
import glob
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import (
    ModelDownloadError,
    ModelEnvError,
    ModelNotFoundError,
    redact,
)
from modelenv.layouts import Layout
from modelenv.monitor import Monitor, monitored
from modelenv.plan import plan_files
from modelenv.references import ModelRef
from modelenv.store import FoundModel, Store, disk_error

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


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


def fetch(store: Store, ref: ModelRef, deadline: Deadline, *, allow_pickle: bool = False) -> Fetched:
    """Fetch the files of `ref` that a load needs, into the Hugging Face cache layout under the store's root.

    The caller holds the model's lock. Files that are there already are not fetched again.

    Raises:
        ModelNotFoundError: the Hub has no such model or revision, or offline mode is on.
        ModelDownloadError: the Hub could not be reached, refused, or broke off.
        ModelLoadTimeoutError: the deadline passed.
        UnsafeModelError: the only weights are pickled.
        NoSpaceError: the disk is full.
    """
    from huggingface_hub import HfApi, snapshot_download

    started = time.monotonic()
    with monitored(deadline, ref.repo_id) as monitor, _translated(store, ref, monitor):
        api = HfApi(headers=monitor.headers)
        info = api.model_info(ref.repo_id, revision=ref.revision)
        names = [sibling.rfilename for sibling in info.siblings or ()]
        place = f"{api.endpoint}/{ref}"
        files = plan_files(names, model=ref.repo_id, allow_pickle=allow_pickle, place=place)
        path = snapshot_download(
            ref.repo_id,
            revision=info.sha,
            cache_dir=store.root,
            allow_patterns=[glob.escape(name) for name in files],
            headers=monitor.headers,
        )
    found = FoundModel(Path(path), Layout.HUB_CACHE, info.sha)
    seconds = time.monotonic() - started
    return Fetched(found, len(files), monitor.bytes_received, monitor.requests, seconds)


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
def _translated(store: Store, ref: ModelRef, monitor: Monitor) -> Iterator[None]:
    """Turn the errors of `huggingface_hub` into ours, without a token in the text."""
    from huggingface_hub import errors as hub_errors
    from huggingface_hub import get_token

    try:
        yield
    except ModelEnvError:
        raise
    except Exception as error:  # noqa: BLE001 - the client raises errors of many families
        monitor.raise_if_late()
        raise _our_error(store, ref, error, hub_errors, get_token()) from None


def _our_error(store: Store, ref: ModelRef, error: Exception, hub_errors: Any, token: str | None) -> ModelEnvError:
    from huggingface_hub import constants

    endpoint, model = constants.ENDPOINT, ref.repo_id
    said = redact(f"{type(error).__name__}: {_first_line(error)}", token)
    chain = _chain(error)
    if any(isinstance(link, hub_errors.OfflineModeIsEnabled) for link in chain):
        return ModelNotFoundError(
            "not in the store, and offline mode forbids to fetch it",
            model=model,
            tried=store.places(ref),
            hint="unset HF_HUB_OFFLINE, or fill the store while the Hub can be reached",
        )
    if isinstance(error, hub_errors.GatedRepoError):
        return ModelDownloadError(
            "its owner asks for terms to be accepted first", model=model, found=said,
            hint=f"accept them at {endpoint}/{model}, then set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            "the Hub knows no model of this name, or it is private", model=model, found=said,
            tried=(*store.places(ref), f"{endpoint}/{model}"),
            hint="check the name; for a private model set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, hub_errors.RevisionNotFoundError):
        return ModelNotFoundError(
            f"the Hub knows the model, but not its revision {ref.revision!r}", model=model, found=said,
            tried=(*store.places(ref), f"{endpoint}/{ref}"), hint="name a branch, a tag or a commit of it",
        )  # fmt: skip
    for link in chain:
        if isinstance(link, OSError) and link.errno in _OF_THE_DISK:
            return disk_error(store.root, model, link)
    return ModelDownloadError(
        f"could not be fetched from {endpoint}", model=model, found=said,
        hint="try again; if the Hub cannot be reached from here, set HF_ENDPOINT, or fill the store beforehand",
    )  # fmt: skip


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
