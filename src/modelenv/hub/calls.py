"""What a request to the Hub asks for, read from its method and its path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from .request_log import Kind

_METHODS: dict[Kind, tuple[str, ...]] = {
    "info": ("GET",),
    "tree": ("GET",),
    "paths-info": ("POST",),
    "refs": ("GET",),
    "resolve": ("GET", "HEAD"),
    "list": ("GET",),
}
# What may follow a repository's name in `/api/models/<name>/…`; no repository can be called so.
_PARTS = frozenset({"revision", "tree", "paths-info", "refs"})

# What stands before the name of a repository that is not a model.
_OTHER_REPOSITORIES = frozenset({"api", "datasets", "spaces", "kernels", "buckets"})


@dataclass(frozen=True)
class Call:
    """What is asked for: its kind, and the repository, revision and file or folder that the path names."""

    kind: Kind
    repo_id: str | None = None
    revision: str | None = None
    file: str | None = None


OTHER = Call("other")


def read_call(method: str, raw_path: str) -> Call:
    """Return what `method` on `raw_path` (still percent-encoded, without the query) asks for.

    The path is split before it is decoded, because the client encodes the slashes of a revision such as
    `refs/pr/1`. Whatever is not known is of kind "other".
    """
    parts = [unquote(part) for part in raw_path.removeprefix("/").split("/")]
    call = _api_call(parts[2:]) if parts[:2] == ["api", "models"] else _resolve_call(parts)
    return call if method in _METHODS.get(call.kind, ()) else OTHER


def _api_call(parts: list[str]) -> Call:
    if not parts or parts == [""]:
        return Call("list")
    length = 1 if len(parts) == 1 or parts[1] in _PARTS else 2
    repo_id, rest = "/".join(parts[:length]), parts[length:]
    match rest:
        case []:
            return Call("info", repo_id)
        case ["revision", revision, *more]:
            return Call("info", repo_id, "/".join([revision, *more]))
        case ["tree", revision, *folder]:
            return Call("tree", repo_id, revision, "/".join(folder).strip("/"))
        case ["paths-info", revision]:
            return Call("paths-info", repo_id, revision)
        case ["refs"]:
            return Call("refs", repo_id)
        case _:
            return OTHER


def _resolve_call(parts: list[str]) -> Call:
    if parts[0] in _OTHER_REPOSITORIES:
        return OTHER
    for length in (1, 2):
        if len(parts) > length + 2 and parts[length] == "resolve":
            return Call("resolve", "/".join(parts[:length]), parts[length + 1], "/".join(parts[length + 2 :]))
    return OTHER
