"""Fetching the files of a locked model: one GET for each file that is missing, and no question besides.

The lock knows the commit, the names, the sizes and the hashes, so the Hub is asked for content only: no information
on the model, no listing, no HEAD. A file comes into the blobs of the Hugging Face cache layout under a name of its
own, is checked, and then gets the name that links lead to. Its size is known too: nothing beyond it is written.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
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
    """More bytes came than the file has."""


@dataclass(frozen=True)
class WantedFile:
    """A file to fetch.

    Attributes:
        path: in the repo.
        size: in bytes.
        blob_id: the name of its blob, which is its sha256 or its git blob id.
        sha256: of its content; None where only `modelenv lock` will know it.
    """

    path: str
    size: int
    blob_id: str
    sha256: str | None


@dataclass(frozen=True)
class FetchedBlobs:
    """What a fetch brought.

    Attributes:
        fingerprints: of each blob, by its name.
        bytes: received.
        requests: made.
    """

    fingerprints: Mapping[str, Fingerprint]
    bytes: int = 0
    requests: int = 0


@dataclass(frozen=True)
class BlobFetch:
    """Fetches files of one model at one commit into a folder of blobs.

    Attributes:
        store: where damaged files are set aside; the caller holds the model's lock.
        ref: the model, with its commit as the revision.
        blobs: the folder.
        policy: how often a request is tried again.
        progress: called with the bytes that came.
    """

    store: Store
    ref: ModelRef
    blobs: Path
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    progress: Progress | None = None

    def fetch(self, files: Iterable[WantedFile], deadline: Deadline) -> FetchedBlobs:
        """Fetch the files that are not among the blobs, each blob once; what came damaged, once more.

        Raises:
            ModelNotFoundError, ModelDownloadError, ModelLoadTimeoutError, NoSpaceError: as `fetching.snapshot.fetch`.
            ModelIntegrityError: a file came damaged or longer than it is, twice.
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
        """Whether a blob of theirs would have to be fetched; changes nothing."""
        return any(_checked(self.blobs / file.blob_id, file, file.blob_id) is None for file in files)

    def _right_blob(self, file: WantedFile) -> Fingerprint | None:
        """Return what is known of the blob if it is there; one that is not what it should be is set aside."""
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
                found = f"other bytes, set aside as {aside}"
            except _TooLongError:
                found = f"more than {file.size:,} bytes, of which no more were written"
            finally:
                part.unlink(missing_ok=True)
        raise ModelIntegrityError(
            f"{file.path} came damaged, twice",
            model=self.ref.repo_id,
            expected=f"{file.size:,} bytes with the hash {file.sha256 or file.blob_id}",
            found=found,
            hint="try again later; if it stays so, the Hub or a proxy or mirror before it changes the files",
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
                        raise TryAgainError("a file is not as long as it was announced", once=True) from error
                    raise

            with_retries(attempt, monitor, self.policy)


def _headers() -> dict[str, str]:
    """Return who asks. `build_hf_headers` of huggingface_hub would send a request of its own to find out."""
    from importlib.metadata import version

    from huggingface_hub import constants, get_token

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    agent = {"user-agent": f"modelenv/{version('modelenv')}"}
    return agent if token is None else {**agent, "authorization": f"Bearer {token}"}


def _checked(path: Path, file: WantedFile, blob_id: str) -> Fingerprint | None:
    """Return the file's fingerprint, or None if its content is not what was announced."""
    known = hash_file(path)
    if isinstance(known, OSError) or known.size != file.size:
        return None
    if file.sha256 is not None:
        return known if known.sha256 == file.sha256 else None
    return known if matches_blob_name(path, blob_id) else None


class _Limited:
    """A file that takes no more bytes than it is to have, with what `http_get` needs of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.seek, self.tell, self.truncate = file.seek, file.tell, file.truncate

    def write(self, data: bytes) -> int:
        """Write the bytes.

        Raises:
            _TooLongError: the file would be too long; nothing was written.
        """
        if self._file.tell() + len(data) > self._size:
            raise _TooLongError
        return self._file.write(data)


class _NoBar:
    """A progress bar that shows nothing: the caller has its own."""

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
    """Fetch several files at a time; raise the first failure, once nothing is under way any more."""
    with ThreadPoolExecutor(min(_AT_ONCE, len(files)), "modelenv-fetch") as pool:
        futures = {pool.submit(fetch, file): file for file in files}
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in done if future.exception() is not None), None)
        finally:
            monitor.stop()  # what is still under way after a failure or an interruption
            for future in futures:
                future.cancel()
    if failed is not None:
        failed.result()
    return {futures[future].blob_id: future.result() for future in done}
