from __future__ import annotations

import pytest

from modelenv.hub.http.routes import OTHER, Call, read_call


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("GET", "/api/models", Call("list")),
        ("GET", "/api/models/", Call("list")),
        ("GET", "/api/models/gpt2", Call("info", "gpt2")),
        ("GET", "/api/models/org/name", Call("info", "org/name")),
        ("GET", "/api/models/org/name/revision/main", Call("info", "org/name", "main")),
        ("GET", "/api/models/gpt2/revision/refs%2Fpr%2F1", Call("info", "gpt2", "refs/pr/1")),
        ("GET", "/api/models/gpt2/revision/refs/pr/1", Call("info", "gpt2", "refs/pr/1")),
        ("GET", "/api/models/gpt2/tree/main", Call("tree", "gpt2", "main", "")),
        ("GET", "/api/models/o/n/tree/a%2Fb/c%2Fd%20e", Call("tree", "o/n", "a/b", "c/d e")),
        ("GET", "/api/models/o/n/tree/main/c/d/", Call("tree", "o/n", "main", "c/d")),
        ("POST", "/api/models/o/n/paths-info/main", Call("paths-info", "o/n", "main")),
        ("GET", "/api/models/gpt2/refs", Call("refs", "gpt2")),
        ("GET", "/o/n/resolve/main/a/b.txt", Call("resolve", "o/n", "main", "a/b.txt")),
        ("HEAD", "/gpt2/resolve/x%2Fy/a%23b", Call("resolve", "gpt2", "x/y", "a#b")),
        ("GET", "/resolve/resolve/resolve/resolve", Call("resolve", "resolve", "resolve", "resolve")),
        ("GET", "/api/datasets/org/name", Call("info", "org/name", repo_type="dataset")),
        ("GET", "/api/spaces/o/n/refs", Call("refs", "o/n", repo_type="space")),
        ("GET", "/datasets/name/resolve/main/x", Call("resolve", "name", "main", "x", "dataset")),
        ("GET", "/datasets/o/n/resolve/main/x", Call("resolve", "o/n", "main", "x", "dataset")),
        ("GET", "/api/models/o/n/commits/refs%2Fpr%2F1", Call("commits", "o/n", "refs/pr/1")),
        ("POST", "/api/models/o/n/preupload/main", Call("preupload", "o/n", "main")),
        ("POST", "/api/models/o/n/commit/main", Call("commit", "o/n", "main")),
        ("POST", "/api/models/gpt2/branch/a%2Fb", Call("branch", "gpt2", "a/b")),
        ("DELETE", "/api/models/gpt2/branch/a", Call("branch", "gpt2", "a")),
        ("POST", "/api/models/gpt2/tag/main", Call("tag", "gpt2", "main")),
        ("DELETE", "/api/models/gpt2/tag/v1", Call("tag", "gpt2", "v1")),
        ("POST", "/api/models/o/n/super-squash/main", Call("super-squash", "o/n", "main")),
        ("PUT", "/api/models/o/n/settings", Call("settings", "o/n")),
        ("GET", "/api/models/o/n/auth-check", Call("auth-check", "o/n")),
        ("GET", "/api/models/o/n/auth-check/write", Call("auth-check", "o/n", file="write")),
        ("GET", "/api/datasets/o/n/discussions", Call("discussions", "o/n", repo_type="dataset")),
        ("POST", "/api/models/gpt2/discussions/3/merge", Call("discussions", "gpt2", file="3/merge")),
        ("POST", "/o/n.git/info/lfs/objects/batch", Call("lfs-batch", "o/n")),
        ("POST", "/datasets/n.git/info/lfs/objects/verify", Call("lfs-verify", "n", repo_type="dataset")),
        ("PUT", "/lfs-objects/abc/upload", Call("lfs-upload", file="abc")),
        ("POST", "/api/repos/create", Call("create")),
        ("DELETE", "/api/repos/delete", Call("delete")),
        ("POST", "/api/repos/move", Call("move")),
        ("GET", "/api/whoami-v2", Call("whoami")),
        ("GET", "/api/settings/repositories", Call("own-list")),
        ("GET", "/api/organizations/o/settings/repositories", Call("own-list", file="o")),
        ("GET", "/api/organizations/o/members", OTHER),
        ("POST", "/api/validate-yaml", Call("validate-yaml")),
        ("GET", f"/cdn-lfs/models/o/n/-/{'a' * 40}/x/-/y", Call("cdn", "o/n", "a" * 40, "x/-/y")),
        ("GET", f"/cdn-lfs/models/o/{'n' * 40}/-/{'a' * 40}/x", Call("cdn", f"o/{'n' * 40}", "a" * 40, "x")),
        ("HEAD", f"/cdn-lfs/datasets/n/-/{'a' * 40}/x", Call("cdn", "n", "a" * 40, "x", "dataset")),
    ],
)
def test_served(method: str, path: str, call: Call) -> None:
    assert read_call(method, path) == call


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/kernels/org/name"),
        ("GET", "/kernels/org/name/resolve/main/x"),
        ("GET", "/buckets/org/name/resolve/x"),
        ("GET", "/cdn-lfs/models/x"),
        ("GET", "/cdn-lfs/models/x/-/main"),
        ("GET", "/cdn-lfs/models/o/n/x/-/main/x"),
        ("GET", "/api/models/org/name/xet-write-token/main"),
        ("POST", "/api/models/org/name/refs/more"),
        ("POST", "/api/models/org/name/branch"),
        ("GET", "/org/name/blob/main/x"),
        ("GET", "/org/name/resolve/main"),
        ("POST", "/api/models/org/name/commits/main"),
        ("GET", "/api/models/org/name/commit/main"),
        ("DELETE", "/api/models/org/name"),
        ("HEAD", "/api/models/org/name"),
        ("PUT", "/org/name/resolve/main/x"),
        ("GET", "/api/models/org/name/paths-info/main"),
    ],
)
def test_not_served(method: str, path: str) -> None:
    assert read_call(method, path) == OTHER
