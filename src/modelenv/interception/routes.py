"""Parses the requests that read a repository on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

Kind = Literal["info", "tree", "paths-info", "file"]

_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}
_CALLS: dict[tuple[str, str], Kind] = {
    ("GET", "revision"): "info",
    ("GET", "tree"): "tree",
    ("POST", "paths-info"): "paths-info",
}
# Words that can follow a repo id in an API path. They tell an id without an organisation from one with it.
_WORDS = frozenset(
    {
        "revision", "tree", "paths-info", "refs", "commits", "commit", "discussions", "settings", "auth-check",
        "preupload", "branch", "tag", "super-squash", "xet-read-token", "xet-write-token", "lfs-files",
        "safetensors-metadata", "scan",
    }
)  # fmt: skip
_WRITES = ("preupload", "commit")
_RESOLVE = "resolve"
# The client's own requests about its users. It ignores it if they fail, but can wait a second for each.
_ABOUT_USERS = ("/api/agent-harnesses", "/api/telemetry")


@dataclass(frozen=True)
class Call:
    """A request that reads a repository.

    Attributes:
        kind: Whether it asks for the info, a listing, infos about paths, or a file.
        repo_type: `model`, `dataset` or `space`.
        repo: The repo id.
        revision: The revision, or None for the default branch.
        path: The file, or the folder that is listed; empty for the top folder.
        start, end: The parts of the raw path before and after the revision.
    """

    kind: Kind
    repo_type: str
    repo: str
    revision: str | None = None
    path: str = ""
    start: str = ""
    end: str = ""

    def at(self, commit: str) -> str:
        """Return the raw path of the same request at another revision."""
        return self.start + quote(commit, safe="") + self.end


def is_about_users(raw_path: str) -> bool:
    """Whether this is a request about the client's users, which no load needs."""
    return raw_path.startswith(_ABOUT_USERS)


def read_call(method: str, raw_path: str) -> Call | None:
    """Parse a request, or return None if it does not read a repository.

    Args:
        method: The method, in capitals.
        raw_path: The path below the endpoint, percent-encoded, without the query. It is split before it is decoded,
            because the client encodes the slashes of a revision such as `refs/pr/1`.
    """
    raw = raw_path.removeprefix("/").split("/")
    parts = [unquote(part) for part in raw]
    if parts[0] == "api":
        return _api_call(method, raw, parts) if len(parts) > 2 and parts[1] in _TYPES else None
    repo_type, first = (_TYPES[parts[0]], 1) if parts[0] in _TYPES else ("model", 0)
    if method not in ("GET", "HEAD"):
        return None
    for at in (first + 1, first + 2):
        if len(parts) > at + 2 and parts[at] == _RESOLVE:
            repo, path = "/".join(parts[first:at]), "/".join(parts[at + 2 :])
            return Call("file", repo_type, repo, parts[at + 1], path, *_around(raw, at + 1))
    return None


def written_repo(method: str, raw_path: str) -> str | None:
    """Return the id of the model repo to which a request writes files, or None.

    Args:
        method: The method, in capitals.
        raw_path: See `read_call`.
    """
    parts = [unquote(part) for part in raw_path.removeprefix("/").split("/")]
    if method != "POST" or parts[:2] != ["api", "models"]:
        return None
    at = next((at for at in (3, 4) if parts[at : at + 1] and parts[at] in _WRITES), None)
    return None if at is None else "/".join(parts[2:at])


def _api_call(method: str, raw: list[str], parts: list[str]) -> Call | None:
    repo_type = _TYPES[parts[1]]
    at = 3 if len(parts) == 3 or parts[3] in _WORDS else 4
    repo = "/".join(parts[2:at])
    if len(parts) == at:
        if method != "GET" or not all(parts[2:at]):
            return None
        return Call("info", repo_type, repo, start="/" + "/".join(raw) + "/revision/")
    kind = _CALLS.get((method, parts[at]))
    if kind is None or len(parts) < at + 2:
        return None
    return Call(kind, repo_type, repo, parts[at + 1], "/".join(parts[at + 2 :]).strip("/"), *_around(raw, at + 1))


def _around(raw: list[str], index: int) -> tuple[str, str]:
    after = "".join(f"/{part}" for part in raw[index + 1 :])
    return "/" + "/".join(raw[:index]) + "/", after
