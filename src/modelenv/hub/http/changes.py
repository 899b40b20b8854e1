"""The changes of a commit, read from the lines of its body and applied to the files of its parent."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelenv.hub.http.responses import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.hub.repos.blobs import BlobStore
    from modelenv.hub.repos.content import ServedFile
    from modelenv.hub.repos.history import History


@dataclass(frozen=True)
class Change:
    """The change of one path: the content of a regular file, the sha256 of an LFS file, or else a deletion."""

    path: str
    file: ServedFile | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class CommitHeader:
    """The header of a commit. If `parent` is given, the branch must be at that commit."""

    title: str
    message: str
    parent: str | None


def read_header(item: dict[str, Any]) -> CommitHeader:
    """Return the header in the first line of a commit.

    Raises:
        RefusedError: The line is not a header, or has no summary.
    """
    value = item["value"]
    title = str(value.get("summary") or "").strip()
    if item.get("key") != "header" or not title:
        raise RefusedError(400, "Invalid body: expected a header line with a summary")
    parent = value.get("parentCommit")
    return CommitHeader(title, str(value.get("description") or ""), str(parent) if parent else None)


def read_change(item: dict[str, Any], blobs: BlobStore) -> Change:
    """Return the change in one of the other lines. The content of a regular file is stored at once.

    Raises:
        RefusedError: The line is not valid.
    """
    value = item["value"]
    path = _checked_path(str(value.get("path", "")))
    match item.get("key"):
        case "file":
            return Change(path, file=blobs.keep_bytes(path, _content(value, path)))
        case "lfsFile":
            return Change(path, sha256=str(value.get("oid")))
        case "deletedFile" | "deletedFolder":
            return Change(path)
        case other:
            raise RefusedError(400, f"Invalid key {other}: expected file, lfsFile, deletedFile or deletedFolder")


def apply_changes(
    before: Mapping[str, ServedFile], changes: Sequence[Change], blobs: BlobStore, history: History
) -> dict[str, ServedFile]:
    """Return the files after the changes.

    Raises:
        RefusedError: An LFS file was not uploaded, or a deleted path does not exist.
    """
    files, known = dict(before), history.lfs_files()
    for change in changes:
        if change.file is not None:
            files[change.path] = change.file
        elif change.sha256 is not None:
            files[change.path] = _lfs_file(change.path, change.sha256, blobs, known)
        else:
            gone = _below(files, change.path)
            if not gone:
                message = f"A file with this name doesn't exist: {change.path}"
                raise RefusedError(404, message, code="EntryNotFound")
            for path in gone:
                del files[path]
    clash = next((path for path in files if any(folder in files for folder in _folders_of(path))), None)
    if clash is not None:
        raise RefusedError(422, f"{clash} is in a folder with the same name as a file")
    return files


def _below(files: Mapping[str, ServedFile], path: str) -> list[str]:
    # On the Hub, a folder can be deleted like a file.
    start = f"{path.rstrip('/')}/"
    return [known for known in files if known == path or known.startswith(start)]


def _folders_of(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _lfs_file(path: str, sha256: str, blobs: BlobStore, known: Mapping[str, ServedFile]) -> ServedFile:
    if sha256 in known:
        return replace(known[sha256], found=replace(known[sha256].found, path=path))
    file = blobs.lfs_file(path, sha256)
    if file is None:
        raise RefusedError(400, f"The LFS object {sha256} of {path} was not uploaded")
    return file


def _checked_path(path: str) -> str:
    parts = path.rstrip("/").split("/")
    # The Hub accepts a backslash as part of a name, except where it would lead out of the folder on Windows.
    outward = path.startswith("..\\") or "\0" in path
    if outward or any(part in ("", ".", "..", ".git") for part in parts):
        raise RefusedError(422, f"Invalid path in the repository: {path}")
    return path


def _content(value: dict[str, Any], path: str) -> bytes:
    content = str(value.get("content", ""))
    if value.get("encoding") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, f"Invalid base64 content of {path}") from error
