"""Validates the Hub's responses before anything is written, because values in them become names on disk.

`huggingface_hub` 2.4 joins these values to paths without checking them: the commit (`sha` in the model's info, and
the header `X-Repo-Commit`), the ETag (`X-Linked-Etag`, else `ETag`, or the sha256 in a listing), and the file names.
The real Hub sends valid values. A broken mirror, or an attacker on the way to a Hub on plain HTTP, can send `../`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelenv.errors import ConfigurationError, ModelDownloadError
from modelenv.locks.values import check_path
from modelenv.references import ModelRef, is_commit

if TYPE_CHECKING:
    import httpx2

_COMMIT_HEADER, _ETAG_HEADERS = "x-repo-commit", ("x-linked-etag", "etag")
_COMMIT = "a commit of 40 hexadecimal digits"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# An ETag becomes the name of a blob, with a suffix while the blob is fetched. Mirrors use other forms of ETags.
_ETAG = re.compile(r'(W/)?(?P<quote>"?)[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}(?P=quote)')
_LONGEST_SHOWN = 80
_HINT = "nothing was written with this value; check HF_ENDPOINT, and the proxies and mirrors between here and the Hub"


def commit_of(info: Any, ref: ModelRef) -> str:
    """Return the commit in the Hub's information about a model.

    Raises:
        ModelDownloadError: The information names no commit, or not the requested one.
    """
    if not is_commit(info.sha) or (ref.is_commit and info.sha != ref.revision):
        expected = f"commit {ref.revision}" if ref.is_commit else _COMMIT
        raise _unusable("it does not name the right commit", ref.repo_id, expected, _shown("sha", info.sha))
    return str(info.sha)


def check_names(names: Iterable[str], ref: ModelRef) -> None:
    """Check that the names are valid paths of files in a repo.

    Raises:
        ModelDownloadError: A name is invalid.
    """
    for name in names:
        try:
            check_path(name, "path")
        except ConfigurationError as error:
            raise _unusable(
                f"it lists a file with an invalid name: {error.what}", ref.repo_id,
                error.expected or "a path in the repo", _shown("a file", name),
            ) from None  # fmt: skip


def check_blob(name: str, size: object, blob_id: object, ref: ModelRef) -> None:
    """Check the size and the blob id that the Hub reports for a file.

    Raises:
        ModelDownloadError: The size or the blob id is invalid.
    """
    if not isinstance(blob_id, str) or not _BLOB_ID.fullmatch(blob_id):
        expected = "a git blob id of 40 hexadecimal digits, or a sha256 of 64"
        raise _unusable(f"no valid blob id for {name!r}", ref.repo_id, expected, _shown("the blob id", blob_id))
    if type(size) is not int or size < 0:
        raise _unusable(f"no valid size for {name!r}", ref.repo_id, "a number of bytes", _shown("the size", size))


def check_response(response: httpx2.Response, *, model: str, commit: str | None) -> None:
    """Check the headers that identify a file, or the hashes in a listing, before the client sees the response.

    Args:
        response: The response to a request of a download.
        model: The model's name, for errors.
        commit: The commit that is being fetched, or None if it is not known yet.

    Raises:
        ModelDownloadError: A value cannot be used as a name.
    """
    request = response.request
    if request.method == "HEAD":
        _check_headers(response, model, commit)
    elif "/tree/" in request.url.path and response.status_code == 200:
        _check_listing(response.read(), model, _where(response))


def _check_headers(response: httpx2.Response, model: str, commit: str | None) -> None:
    named = response.headers.get(_COMMIT_HEADER)
    if named is not None and (not is_commit(named) or commit not in (None, named)):
        expected = _COMMIT if commit is None else f"commit {commit}"
        raise _unusable("it does not name the right commit", model, expected, _shown(_where(response), named))
    header = next((name for name in _ETAG_HEADERS if response.headers.get(name)), None)
    if header is None or (header == "etag" and _is_followed(response)):
        return
    if not _ETAG.fullmatch(response.headers[header]):
        found = _shown(f"{header} of {_where(response)}", response.headers[header])
        raise _unusable("its ETag is not a plain name", model, "letters and digits", found)


def _is_followed(response: httpx2.Response) -> bool:
    """Whether the client follows a redirect on the same host, and uses the headers of that response instead."""
    target = urlsplit(response.headers.get("location", ""))
    return response.is_redirect and target.netloc in ("", response.request.url.netloc.decode())


def _check_listing(body: bytes, model: str, where: str) -> None:
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return  # the client reports this
    for entry in entries if isinstance(entries, list) else ():
        large = entry.get("lfs") if isinstance(entry, dict) else None
        sha256 = large.get("oid") if isinstance(large, dict) else None
        if large and (not isinstance(sha256, str) or not _SHA256.fullmatch(sha256)):
            raise _unusable(
                "its listing has no valid sha256 for a file", model, "64 hexadecimal digits", _shown(where, sha256)
            )


def _where(response: httpx2.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"  # no host and no query: see `monitor`


def _shown(what: str, value: object) -> str:
    text = repr(value)
    return f"{what}: {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}"


def _unusable(what: str, model: str, expected: str, found: str) -> ModelDownloadError:
    return ModelDownloadError(
        f"the Hub sent an invalid response: {what}",
        model=model,
        expected=expected,
        found=found,
        hint=_HINT,
    )
