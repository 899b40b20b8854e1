"""What the Hub answers becomes names on this disk, so it is checked here before the client or we write anything.

`huggingface_hub` 2.4 joins these values to paths unchecked: the commit (`sha` of the model's info, and the header
`X-Repo-Commit`), the ETag (`X-Linked-Etag`, else `ETag`, or the sha256 of a listing), and the files' names. The real
Hub sends valid ones; a broken mirror, or anybody between here and a Hub on plain HTTP, may send `../`.
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
# An ETag becomes the name of a blob, with a suffix while it is fetched; mirrors have ETags of their own forms.
_ETAG = re.compile(r'(W/)?(?P<quote>"?)[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}(?P=quote)')
_LONGEST_SHOWN = 80
_HINT = (
    "nothing was written under such a name; check HF_ENDPOINT, and the proxies and mirrors between here and the Hub"
)


def commit_of(info: Any, ref: ModelRef) -> str:
    """Return the commit that the Hub's information on a model names.

    Raises:
        ModelDownloadError: it names none, or another than was asked for.
    """
    if not is_commit(info.sha) or (ref.is_commit and info.sha != ref.revision):
        expected = f"commit {ref.revision}" if ref.is_commit else _COMMIT
        raise _unusable("it names another commit, or none", ref.repo_id, expected, _shown("sha", info.sha))
    return str(info.sha)


def check_names(names: Iterable[str], ref: ModelRef) -> None:
    """Check that the names of files lie in the repo.

    Raises:
        ModelDownloadError: one does not.
    """
    for name in names:
        try:
            check_path(name, "path")
        except ConfigurationError as error:
            raise _unusable(
                f"it lists a file whose name is not valid: {error.what}", ref.repo_id,
                error.expected or "a path in the repo", _shown("a file", name),
            ) from None  # fmt: skip


def check_blob(name: str, size: object, blob_id: object, ref: ModelRef) -> None:
    """Check what the Hub says of one file.

    Raises:
        ModelDownloadError: the size or the blob id is not valid.
    """
    if not isinstance(blob_id, str) or not _BLOB_ID.fullmatch(blob_id):
        expected = "a git blob id of 40 hexadecimal digits, or a sha256 of 64"
        raise _unusable(f"it names no blob for {name!r}", ref.repo_id, expected, _shown("the blob id", blob_id))
    if type(size) is not int or size < 0:
        raise _unusable(f"it names no size for {name!r}", ref.repo_id, "a number of bytes", _shown("the size", size))


def check_response(response: httpx2.Response, *, model: str, commit: str | None) -> None:
    """Check a response before the client sees it: the headers that say what a file is, and a listing's hashes.

    Args:
        response: of a request of a download.
        model: the model's name, for errors.
        commit: the commit that is being fetched, once it is known.

    Raises:
        ModelDownloadError: a value cannot be used as a name.
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
        raise _unusable("it names another commit, or none", model, expected, _shown(_where(response), named))
    header = next((name for name in _ETAG_HEADERS if response.headers.get(name)), None)
    if header is None or (header == "etag" and _is_followed(response)):
        return
    if not _ETAG.fullmatch(response.headers[header]):
        found = _shown(f"{header} of {_where(response)}", response.headers[header])
        raise _unusable("it sends an ETag that is no plain name", model, "letters and digits", found)


def _is_followed(response: httpx2.Response) -> bool:
    """Whether the client goes on to another address of the same host, and takes the headers from there."""
    target = urlsplit(response.headers.get("location", ""))
    return response.is_redirect and target.netloc in ("", response.request.url.netloc.decode())


def _check_listing(body: bytes, model: str, where: str) -> None:
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return  # the client says what is wrong with it
    for entry in entries if isinstance(entries, list) else ():
        large = entry.get("lfs") if isinstance(entry, dict) else None
        sha256 = large.get("oid") if isinstance(large, dict) else None
        if large and (not isinstance(sha256, str) or not _SHA256.fullmatch(sha256)):
            raise _unusable(
                "its listing names a file by no sha256", model, "64 hexadecimal digits", _shown(where, sha256)
            )


def _where(response: httpx2.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"  # no host and no query: see `monitor`


def _shown(what: str, value: object) -> str:
    text = repr(value)
    return f"{what}: {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}"


def _unusable(what: str, model: str, expected: str, found: str) -> ModelDownloadError:
    return ModelDownloadError(
        f"the Hub's answer cannot be used: {what}",
        model=model,
        expected=expected,
        found=found,
        hint=_HINT,
    )
