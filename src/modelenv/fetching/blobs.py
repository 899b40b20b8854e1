"""Fetches the files of a locked model with one GET request per missing file, and no other requests.

The lock contains the commit, the names, the sizes and the hashes, so only content is requested: no information about
the model, no listing, no HEAD. A file is written to the blobs of the Hugging Face cache layout under a temporary
name, checked, and then renamed to the name that links lead to. No more bytes than its known size are written.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from modelenv.deadlines import FETCHING, Deadline
from modelenv.errors import ModelIntegrityError
from modelenv.fetching.leftovers import OWN_PART
from modelenv.fetching.monitor import Monitor, monitored
from modelenv.fetching.retries import RetryPolicy, with_retries
from modelenv.fetching.snapshot import is_of_another_length, translated
from modelenv.fetching.space import missing_bytes
from modelenv.fetching.trouble import TryAgainError
from modelenv.files.hashing import Fingerprint, Progress, hash_file
from modelenv.references import ModelRef
from modelenv.store.integrity import matches_blob_name
from modelenv.store.store import Store

if TYPE_CHECKING:
    from typing import Self

_AT_ONCE = 8  # files, as `snapshot_download` of huggingface_hub does


class _TooLongError(Exception):
    """More bytes were received than the file has."""


@dataclass(frozen=True)
class WantedFile:
    """A file to fetch.

    Attributes:
        path: The path in the repo.
        size: The size in bytes.
        blob_id: The name of the file's blob, which is its sha256 or its git blob id.
        sha256: The sha256 of the content, or None if `modelenv lock` has yet to compute it.
    """

    path: str
    size: int
    blob_id: str
    sha256: str | None


@dataclass(frozen=True)
class FetchedBlobs:
    """The result of a fetch.

    Attributes:
        fingerprints: The fingerprint of each blob, by the blob's name.
        bytes: The number of bytes received.
        requests: The number of requests made.
    """

    fingerprints: Mapping[str, Fingerprint]
    bytes: int = 0
    requests: int = 0


@dataclass(frozen=True)
class BlobFetch:
    """Fetches files of one model at one commit into a folder of blobs.

    Attributes:
        store: The store in which damaged files are set aside. The caller holds the model's lock.
        ref: The model, with its commit as the revision.
        blobs: The folder of blobs.
        policy: The policy for retries.
        progress: Called with the number of bytes that were just received.
    """

    store: Store
    ref: ModelRef
    blobs: Path
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    progress: Progress | None = None

    def fetch(self, files: Iterable[WantedFile], deadline: Deadline) -> FetchedBlobs:
        """Fetch the files whose blobs are missing, each blob once. A file that arrives damaged is fetched again.

        Raises:
            ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: See `snapshot.fetch`.
            ModelIntegrityError: A file arrived damaged, or with too many bytes, twice.
        """
        wanted = {file.blob_id: file for file in files}
        there = {name: self._right_blob(file) for name, file in wanted.items()}
        found = {name: known for name, known in there.items() if known is not None}
        missing = [file for name, file in wanted.items() if name not in found]
        if not missing:
            return FetchedBlobs(found)
        sizes = {file.blob_id: file.size for file in missing}
        self.store.check_space(self.ref.repo_id, missing_bytes(self.store.root, self.blobs, sizes))
        fetching, watched = deadline.stages.doing(FETCHING), monitored(deadline, self.ref.repo_id, self.progress)
        with fetching, watched as monitor, translated(self.store, self.ref, monitor):
            self.blobs.mkdir(parents=True, exist_ok=True)
            found.update(_all_at_once(missing, lambda file: self._fetch_one(file, monitor), monitor))
        return FetchedBlobs(found, monitor.bytes_received, monitor.requests)

    def lacks(self, files: Iterable[WantedFile]) -> bool:
        """Whether any blob of these files is missing or damaged. Changes nothing."""
        return any(_checked(self.blobs / file.blob_id, file, file.blob_id) is None for file in files)

    def _right_blob(self, file: WantedFile) -> Fingerprint | None:
        """Return the fingerprint of the blob if it exists and is right, or None. A damaged blob is set aside."""
        blob = self.blobs / file.blob_id
        if not os.path.lexists(blob):
            return None
        known = _checked(blob, file, blob.name)
        if known is None:
            self.store.set_aside(self.ref, blob)
        return known

    def _fetch_one(self, file: WantedFile, monitor: Monitor) -> Fingerprint:
        found = ""
        for _ in range(2):
            part = self.blobs / f"{file.blob_id}.{uuid.uuid4().hex[:8]}{OWN_PART}"
            try:
                self._receive(file, part, monitor)
                known = _checked(part, file, file.blob_id)
                if known is not None:
                    part.replace(self.blobs / file.blob_id)
                    return known
                aside = self.store.set_aside(self.ref, part.replace(self.blobs / file.blob_id))
                found = f"other content, set aside as {aside}"
            except _TooLongError:
                found = f"more than {file.size:,} bytes; the rest was not written"
            finally:
                part.unlink(missing_ok=True)
        raise ModelIntegrityError(
            f"{file.path} arrived damaged twice",
            model=self.ref.repo_id,
            expected=f"{file.size:,} bytes with the hash {file.sha256 or file.blob_id}",
            found=found,
            hint="try again later; if that does not help, the Hub, a proxy or a mirror changes the files",
        )

    def _receive(self, file: WantedFile, part: Path, monitor: Monitor) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get

        url = hf_hub_url(self.ref.repo_id, file.path, revision=self.ref.revision)
        headers = {**_headers(), **monitor.headers}

        with part.open("wb") as content:

            def attempt() -> None:
                monitor.watch()
                begun = content.tell()
                try:
                    http_get(
                        url,
                        _Limited(content, file.size),
                        resume_size=begun,
                        headers=headers,
                        expected_size=file.size,
                        displayed_filename=file.path,
                        tqdm_class=_NoBar,
                    )
                except OSError as error:
                    if is_of_another_length(error):
                        content.seek(0)
                        content.truncate()
                        raise TryAgainError("a file's size does not match the expected size", once=True) from error
                    raise

            with_retries(attempt, monitor, self.policy)


def _headers() -> dict[str, str]:
    """Return the user agent and the token. `build_hf_headers` of huggingface_hub would make an extra request."""
    from importlib.metadata import version

    from huggingface_hub import constants, get_token

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    agent = {"user-agent": f"modelenv/{version('modelenv')}"}
    return agent if token is None else {**agent, "authorization": f"Bearer {token}"}


def _checked(path: Path, file: WantedFile, blob_id: str) -> Fingerprint | None:
    """Return the file's fingerprint, or None if its size or its hash is wrong."""
    known = hash_file(path)
    if isinstance(known, OSError) or known.size != file.size:
        return None
    if file.sha256 is not None:
        return known if known.sha256 == file.sha256 else None
    return known if matches_blob_name(path, blob_id) else None


class _Limited:
    """A file with a maximum size, with the methods that `http_get` needs."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.seek, self.tell, self.truncate = file.seek, file.tell, file.truncate

    def write(self, data: bytes) -> int:
        """Write the bytes.

        Raises:
            _TooLongError: The file would be too long; nothing was written.
        """
        if self._file.tell() + len(data) > self._size:
            raise _TooLongError
        return self._file.write(data)


class _NoBar:
    """A progress bar that shows nothing, because the caller has its own."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def update(self, _: float = 1) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _all_at_once(
    files: list[WantedFile], fetch: Callable[[WantedFile], Fingerprint], monitor: Monitor
) -> dict[str, Fingerprint]:
    """Fetch several files at a time. Raise the first error after all running fetches have stopped."""
    futures: dict[Future[Fingerprint], WantedFile] = {}
    with ThreadPoolExecutor(min(_AT_ONCE, len(files)), "modelenv-fetch") as pool:
        try:
            futures.update((pool.submit(fetch, file), file) for file in files)
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in done if future.exception() is not None), None)
        finally:
            monitor.stop()  # stop the running fetches after an error or an interruption
            for future in list(futures):
                future.cancel()
    if failed is not None:
        failed.result()
    return {futures[future].blob_id: future.result() for future in done}
