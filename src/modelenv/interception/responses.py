"""The responses of the Hub for a locked commit: its info, listings, and the headers and bytes of its files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.interception.locked_repos import LockedCommit
from modelenv.interception.replies import FilePart, Reply
from modelenv.locks.values import LockedFile
from modelenv.tasks import TASKS, resolve_task

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MODULES = "modules.json"  # sentence-transformers' list of a model's modules
# The task that the Hub derives from the end of an architecture's name if nothing else names one.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "Model": "feature-extraction",
}
# The fields of an info that a lock gives. A request for others is not answered from the lock.
FIELDS = frozenset(
    {"sha", "siblings", "pipeline_tag", "library_name", "private", "gated", "disabled", "author", "tags"}
)


def info_reply(commit: LockedCommit, *, blobs: bool, expand: Sequence[str]) -> Reply:
    """Return the info of a model. With `expand`, only its id and the fields named there."""
    model = commit.model
    info = {
        "_id": model.commit[:24],
        "id": model.repo,
        "modelId": model.repo,
        "author": model.ref.organisation,
        "sha": model.commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "library_name": "sentence-transformers" if _MODULES in commit.files else "transformers",
        "pipeline_tag": _task(commit),
        "siblings": [_sibling(file, blobs) for file in commit.files.values()],
    }
    if expand:
        info = {name: info[name] for name in ("_id", "id", *expand)}
    return _json(200, {name: value for name, value in info.items() if value is not None})


def _task(commit: LockedCommit) -> str | None:
    named = next((entry.task for entry in commit.entries if entry.task is not None), None)
    if named is not None:
        try:
            return resolve_task(named).name
        except ConfigurationError:
            return named
    if _MODULES in commit.files:
        return "sentence-similarity"
    architectures = commit.model.facts.get("architectures")
    first = architectures[0] if isinstance(architectures, Sequence) and architectures else ""
    task = next((task for ending, task in _TASKS.items() if str(first).endswith(ending)), None)
    return task if task in TASKS else None


def _sibling(file: LockedFile, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": file.path}
    sibling: dict[str, Any] = {"rfilename": file.path, "size": file.size, "blobId": file.blob_id}
    if _is_large(file):
        sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": _pointer_size(file)}
    return sibling


def tree_reply(commit: LockedCommit, folder: str, *, recursive: bool) -> Reply:
    """Return the listing of a folder, with the locked files alone. A folder without locked files is absent."""
    start = f"{folder}/" if folder else ""
    paths = [path for path in commit.files if path.startswith(start)]
    if not paths:
        return absent_reply(folder)
    shown = [path for path in paths if recursive or "/" not in path[len(start) :]]
    folders = {parent for path in paths for parent in _parents(path) if parent.startswith(start)}
    folders = {name for name in folders if recursive or "/" not in name[len(start) :]}
    return _json(200, _entries(commit, sorted(folders), shown))


def paths_reply(commit: LockedCommit, paths: Iterable[str]) -> Reply:
    """Return the entries of these paths. A path without locked files has none, as on the Hub."""
    paths = sorted({path.strip("/") for path in paths})
    folders = {parent for path in commit.files for parent in _parents(path)}
    found = [path for path in paths if path in folders], [path for path in paths if path in commit.files]
    return _json(200, _entries(commit, *found))


def _entries(commit: LockedCommit, folders: Iterable[str], files: Iterable[str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {"type": "directory", "oid": commit.model.commit, "size": 0, "path": path} for path in folders
    ]
    for file in (commit.files[path] for path in files):
        # The client keeps a listing for ever, also for programs without modelenv, and this one lacks the files that
        # are not locked. It does not keep a listing with an invalid Xet hash.
        entry = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path, "xetHash": ""}
        if _is_large(file):
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": _pointer_size(file)}
        entries.append(entry)
    return entries


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_large(file: LockedFile) -> bool:
    return file.blob_id == file.sha256


def _pointer_size(file: LockedFile) -> int:
    return len(f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size}\n")


def file_reply(method: str, commit: str, file: LockedFile, path: Path, headers: Mapping[str, str]) -> Reply:
    """Return the response to a HEAD or GET of a file. It never names a Xet hash, so the client uses HTTP.

    Args:
        method: `HEAD` or `GET`.
        commit: The commit.
        file: The file as it is known.
        path: The verified file on disk.
        headers: The request's headers.
    """
    etag = f'"{file.blob_id}"'
    answer = {
        "ETag": etag,
        "X-Repo-Commit": commit,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream" if _is_large(file) else "text/plain; charset=utf-8",
    }
    if _is_large(file):
        answer |= {"X-Linked-Etag": etag, "X-Linked-Size": str(file.size)}
    if method == "HEAD":
        return Reply(200, {**answer, "Content-Length": str(file.size)})
    asked = headers.get("range", "") if headers.get("if-range", etag) == etag else ""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match[1] == match[2] == "":
        return Reply(200, {**answer, "Content-Length": str(file.size)}, FilePart(path, 0, file.size))
    start = int(match[1]) if match[1] else max(0, file.size - int(match[2]))
    stop = min(file.size, int(match[2]) + 1) if match[1] and match[2] else file.size
    if start >= stop:
        return _error(416, "Range Not Satisfiable", None, {"Content-Range": f"bytes */{file.size}"})
    answer |= {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}", "Content-Length": str(stop - start)}
    return Reply(206, answer, FilePart(path, start, stop - start))


def absent_reply(path: str, reason: str | None = None) -> Reply:
    """Return the response for a file or folder that is absent, or that is treated so for a reason.

    It does not name the commit, so the client does not write down for ever that the commit lacks the file: a lock is
    no listing of a commit, and the cache can be shared with programs without modelenv.
    """
    return _error(404, reason or f"{path} does not exist at this commit", "EntryNotFound", {})


def _error(status: int, message: str, code: str | None, headers: Mapping[str, str]) -> Reply:
    text = message.encode("ascii", "backslashreplace").decode()
    named = {} if code is None else {"X-Error-Code": code}
    return _json(status, {"error": message}, {**headers, **named, "X-Error-Message": text})


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    body = json.dumps(value).encode()
    length = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))}
    return Reply(status, {**length, **(headers or {})}, body)
