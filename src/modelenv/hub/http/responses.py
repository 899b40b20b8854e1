"""The JSON responses of the Hub: infos, trees, path infos, references, commits, lists and errors."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from modelenv.hub.http.expandable import EXPANDABLE
from modelenv.hub.repos.content import lfs_pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from starlette.requests import Request

    from modelenv.hub.repos.commits import Snapshot
    from modelenv.hub.repos.content import ServedFile
    from modelenv.hub.repos.facts import ModelFacts
    from modelenv.hub.repos.history import History
    from modelenv.hub.repos.repository import Repository

Item = TypeVar("Item")

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# The Hub's date of creation for repositories older than its records. Used here for those that were not created here.
_CREATED = "2022-03-02T23:29:04.000Z"


class RefusedError(Exception):
    """An error response: a status, the Hub's error code, a message, and further headers."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {"X-Error-Message": header_text(message), **(headers or {})}
        if code is not None:
            self.headers["X-Error-Code"] = code

    def response(self) -> Response:
        """Return the response."""
        return json_response({"error": self.message}, status=self.status, headers=self.headers)


def header_text(message: str) -> str:
    """Return a message in a form that fits a header: on one line, in ASCII."""
    return _CONTROLS.sub(" ", message.encode("ascii", "backslashreplace").decode()).strip()


def json_response(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `value` as JSON. Dates, which a card's YAML can contain, become text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return Response(text.encode(), status, headers, media_type="application/json")


def is_true(value: str | None) -> bool:
    """Whether a query or form value means true."""
    return value is not None and value.lower() in {"true", "1"}


def repository_info(
    repository: Repository, snapshot: Snapshot, facts: ModelFacts, *, blobs: bool, expand: Sequence[str]
) -> dict[str, Any]:
    """Return a repository's info. With `expand`, only its id and the fields named there.

    Raises:
        RefusedError: `expand` names a field that the Hub does not have.
    """
    info = {
        **listed_info(repository, facts),
        "disabled": False,
        "sha": snapshot.commit,
        "lastModified": timestamp(snapshot.last_modified),
        "cardData": facts.card,
        "usedStorage": sum(file.found.size for file in snapshot.files.values()),
        "siblings": [_sibling(path, file, blobs) for path, file in snapshot.files.items()],
    }
    match repository.repo_type:
        case "model":
            results = (facts.card or {}).get("model-index")
            info |= {"config": facts.config, "safetensors": facts.safetensors, "spaces": [], "model-index": results}
        case "space":
            info |= {"sdk": (facts.card or {}).get("sdk"), "runtime": {"stage": "NO_APP_FILE", "hardware": {}}}
    expandable = EXPANDABLE[repository.repo_type]
    unknown = ", ".join(sorted(set(expand) - expandable))
    if unknown:
        expected = ", ".join(sorted(expandable))
        raise RefusedError(400, f"Invalid value of expand: {unknown}; expected one of {expected}")
    if expand:
        info = {key: info[key] for key in ("_id", "id", *expand) if key in info}
    return {key: value for key, value in info.items() if value is not None}


def listed_info(repository: Repository, facts: ModelFacts) -> dict[str, Any]:
    """Return the part of a repository's info that lists show. It does not require hashing."""
    repo_id = repository.repo_id
    listed: dict[str, Any] = {
        "_id": hashlib.sha256(f"{repository.repo_type} {repo_id}".encode()).hexdigest()[:24],
        "id": repo_id,
        "author": repo_id.split("/")[0] if "/" in repo_id else None,
        "private": repository.settings.private,
        "gated": repository.settings.gated,
        "downloads": 0,
        "likes": 0,
        "tags": list(facts.tags),
        "createdAt": timestamp(repository.created) if repository.created is not None else _CREATED,
    }
    if repository.repo_type == "model":
        listed |= {"modelId": repo_id, "pipeline_tag": facts.pipeline_tag, "library_name": facts.library_name}
    return listed


def own_entry(repository: Repository, size: int, share: float) -> dict[str, Any]:
    """Return an entry of the list of one's own repositories. The repository takes `size` bytes, a `share` of all."""
    return {
        "id": repository.repo_id,
        "type": repository.repo_type,
        "updatedAt": timestamp(repository.snapshot().last_modified),
        "visibility": "private" if repository.settings.private else "public",
        "storage": size,
        "storagePercent": 100 * share,
    }


def _sibling(path: str, file: ServedFile, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    sibling: dict[str, Any] = {"rfilename": path, "size": file.found.size, "blobId": file.blob_id}
    if file.sha256 is not None:
        sibling["lfs"] = {"sha256": file.sha256, **_lfs_sizes(file)}
    return sibling


def _lfs_sizes(file: ServedFile) -> dict[str, int]:
    pointer = lfs_pointer(file.sha256 or "", file.found.size)
    return {"size": file.found.size, "pointerSize": len(pointer)}


def tree_paths(snapshot: Snapshot, folder: str, *, recursive: bool) -> list[str] | None:
    """Return the paths of a folder's entries, folders first, or None if the folder does not exist."""
    if folder not in snapshot.trees:
        return None
    start = f"{folder}/" if folder else ""
    paths = sorted(path for path in snapshot.trees if path and path.startswith(start)) + list(snapshot.files)
    return [path for path in paths if path.startswith(start) and (recursive or "/" not in path[len(start) :])]


def path_entry(history: History, snapshot: Snapshot, path: str, *, expand: bool) -> dict[str, Any]:
    """Return the tree entry of a file or folder, which must be in the snapshot."""
    entry: dict[str, Any]
    file = snapshot.files.get(path)
    if file is None:
        entry = {"type": "directory", "oid": snapshot.trees[path], "size": 0, "path": path}
    else:
        entry = {"type": "file", "oid": file.blob_id, "size": file.found.size, "path": path}
        if file.sha256 is not None:
            entry["lfs"] = {"oid": file.sha256, **_lfs_sizes(file)}
    if expand:
        last = history.commits.get(snapshot.touched[path], snapshot)
        date = timestamp(last.last_modified)
        entry["lastCommit"] = {"id": last.commit, "title": last.title, "date": date}
    return entry


def references(history: History, *, pull_requests: bool) -> dict[str, Any]:
    """Return a repository's branches and tags and, if requested, its pull requests."""
    answer: dict[str, Any] = {
        "branches": [_reference(name, "heads", commit) for name, commit in history.branches.items()],
        "tags": [_reference(name, "tags", commit) for name, commit in history.tags.items()],
        "converts": [],
    }
    if pull_requests:
        requests = [known for known in history.discussions if known.head is not None]
        answer["pullRequests"] = [
            {"name": str(known.num), "ref": known.ref, "targetCommit": known.head} for known in requests
        ]
    return answer


def _reference(name: str, kind: str, commit: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}


def commit_entry(commit: Snapshot, *, formatted: bool) -> dict[str, Any]:
    """Return an entry of a list of commits."""
    entry: dict[str, Any] = {
        "id": commit.commit,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": timestamp(commit.last_modified),
    }
    if formatted:
        entry["formatted"] = {"title": escape(commit.title), "message": escape(commit.message)}
    return entry


def page_response(
    request: Request, items: Sequence[Item], *, limit: int, render: Callable[[Item], object]
) -> Response:
    """Return the page of `items` at the query's cursor, rendered, with a Link header to the next page.

    The query can set a smaller page size with `limit`.

    Raises:
        RefusedError: The cursor or the limit is not valid.
    """
    query = dict(request.query_params.multi_items())
    try:
        start = int(base64.urlsafe_b64decode(query["cursor"])) if "cursor" in query else 0
        size = min(limit, int(query.get("limit", limit)))
    except (ValueError, binascii.Error) as error:
        raise RefusedError(400, "Invalid cursor or limit") from error
    if start < 0 or size < 1:
        raise RefusedError(400, "Invalid cursor or limit")
    headers = {}
    if start + size < len(items):
        cursor = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        pairs = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
        path = request.scope["raw_path"].decode("ascii")
        url = f"{request.base_url}{path.removeprefix('/')}?{urlencode([*pairs, ('cursor', cursor)])}"
        headers["Link"] = f'<{url}>; rel="next"'
    return json_response([render(item) for item in items[start : start + size]], headers=headers)


def timestamp(moment: datetime) -> str:
    """Return a time in the Hub's format."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
