"""The routes of the Hub: the method and path of a request are parsed into a `Call`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from modelenv.hub.repos.repository import RepoType
    from modelenv.hub.request_log import Kind

_TYPES: dict[str, RepoType] = {"models": "model", "datasets": "dataset", "spaces": "space"}
# Below `/api/<type>s/<name>/`: method and the word after the id, for calls with a revision and calls without one.
_REVISION_CALLS: dict[tuple[str, str], Kind] = {
    ("GET", "tree"): "tree",
    ("POST", "paths-info"): "paths-info",
    ("GET", "revision"): "info",
    ("GET", "commits"): "commits",
    ("POST", "preupload"): "preupload",
    ("POST", "commit"): "commit",
    ("POST", "branch"): "branch",
    ("DELETE", "branch"): "branch",
    ("POST", "tag"): "tag",
    ("DELETE", "tag"): "tag",
    ("POST", "super-squash"): "super-squash",
}
_PLAIN_CALLS: dict[tuple[str, str], Kind] = {
    ("GET", "refs"): "refs",
    ("PUT", "settings"): "settings",
    ("GET", "auth-check"): "auth-check",
    ("GET", "discussions"): "discussions",
    ("POST", "discussions"): "discussions",
}
# All words that can follow a repository id there. They tell an id without an organisation from one with it.
_PARTS = frozenset(word for _, word in (*_REVISION_CALLS, *_PLAIN_CALLS)) | {
    "xet-read-token",
    "xet-write-token",
    "safetensors-metadata",
    "lfs-files",
}
_OTHER_CALLS: dict[tuple[str, str], Kind] = {
    ("POST", "repos/create"): "create",
    ("DELETE", "repos/delete"): "delete",
    ("POST", "repos/move"): "move",
    ("GET", "whoami-v2"): "whoami",
    ("GET", "settings/repositories"): "own-list",
    ("POST", "validate-yaml"): "validate-yaml",
}
# First parts of paths that are not the organisation of a model.
_NO_MODELS = frozenset({"api", "datasets", "spaces", "kernels", "buckets"})
# The prefix of all paths of large files on the second port.
CDN_PATH = "cdn-lfs"
# The end of a repository id in these paths. No part of an id can start with it.
CDN_END = "-"
_BATCH = ["info", "lfs", "objects", "batch"]
_VERIFY = ["info", "lfs", "objects", "verify"]


@dataclass(frozen=True)
class Call:
    """A parsed request: its kind, and the repository, revision and file or folder in the path.

    For a branch or tag, `revision` is the part of the path in that place. For a discussion, `file` is its number and
    the action. For the list of an organisation's own repositories, `file` is the organisation.
    """

    kind: Kind
    repo_id: str | None = None
    revision: str | None = None
    file: str | None = None
    repo_type: RepoType = "model"


OTHER = Call("other")


def read_call(method: str, raw_path: str) -> Call:
    """Parse a request. `raw_path` is still percent-encoded, and has no query.

    The path is split before it is decoded, because the client encodes the slashes of a revision such as
    `refs/pr/1`. An unknown request is of kind "other".
    """
    parts = [unquote(part) for part in raw_path.removeprefix("/").split("/")]
    if parts[0] == "api":
        kind = _OTHER_CALLS.get((method, "/".join(parts[1:])))
        if kind is not None:
            return Call(kind)
        if method == "GET" and parts[1:2] == ["organizations"] and parts[3:] == ["settings", "repositories"]:
            return Call("own-list", file=parts[2])
        if len(parts) > 1 and parts[1] in _TYPES:
            return _api_call(method, parts[2:], _TYPES[parts[1]])
        return OTHER
    if parts[0] == CDN_PATH:
        return _cdn_call(method, parts[1:])
    repo_type = _TYPES.get(parts[0], "model")
    if repo_type != "model":
        parts = parts[1:]
    return _file_call(method, parts, repo_type)


def _api_call(method: str, parts: list[str], repo_type: RepoType) -> Call:
    if not parts or parts == [""]:
        return Call("list", repo_type=repo_type) if method == "GET" else OTHER
    length = 1 if len(parts) == 1 or parts[1] in _PARTS else 2
    repo_id, rest = "/".join(parts[:length]), parts[length:]
    if not rest:
        return Call("info", repo_id, repo_type=repo_type) if method == "GET" else OTHER
    word, *more = rest
    if (kind := _PLAIN_CALLS.get((method, word))) is not None:
        named = "/".join(more) if kind in ("discussions", "auth-check") else None
        return Call(kind, repo_id, None, named or None, repo_type) if not more or named else OTHER
    if (kind := _REVISION_CALLS.get((method, word))) is None or not more:
        return OTHER
    if kind == "tree":
        return Call(kind, repo_id, more[0], "/".join(more[1:]).strip("/"), repo_type)
    return Call(kind, repo_id, "/".join(more), None, repo_type)


def _file_call(method: str, parts: list[str], repo_type: RepoType) -> Call:
    if parts[0] in _NO_MODELS:
        return OTHER
    if method == "PUT" and parts[0] == "lfs-objects" and len(parts) == 3:
        return Call("lfs-upload", file=parts[1])
    for length in (1, 2):
        if len(parts) <= length:
            break
        repo_id, rest = "/".join(parts[:length]), parts[length:]
        if rest[0] == "resolve" and len(rest) > 2 and method in ("GET", "HEAD"):
            return Call("resolve", repo_id, rest[1], "/".join(rest[2:]), repo_type)
        if method == "POST" and repo_id.endswith(".git") and rest in (_BATCH, _VERIFY):
            kind: Kind = "lfs-batch" if rest == _BATCH else "lfs-verify"
            return Call(kind, repo_id.removesuffix(".git"), repo_type=repo_type)
    return OTHER


def _cdn_call(method: str, parts: list[str]) -> Call:
    if method not in ("GET", "HEAD") or parts[0] not in _TYPES or CDN_END not in parts[2:4]:
        return OTHER
    end = parts.index(CDN_END, 2)
    if len(parts) < end + 3:
        return OTHER
    return Call("cdn", "/".join(parts[1:end]), parts[end + 1], "/".join(parts[end + 2 :]), _TYPES[parts[0]])
