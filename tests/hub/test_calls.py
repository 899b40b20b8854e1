from __future__ import annotations

import pytest

from modelenv.hub.calls import OTHER, Call, read_call


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
    ],
)
def test_served(method: str, path: str, call: Call) -> None:
    assert read_call(method, path) == call


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/datasets/org/name"),
        ("GET", "/datasets/name/resolve/main/x"),
        ("GET", "/datasets/org/name/resolve/main/x"),
        ("GET", "/org/name/blob/main/x"),
        ("GET", "/org/name/resolve/main"),
        ("GET", "/api/models/org/name/commits/main"),
        ("POST", "/api/models/org/name/commit/main"),
        ("DELETE", "/api/models/org/name"),
        ("HEAD", "/api/models/org/name"),
        ("PUT", "/org/name/resolve/main/x"),
        ("GET", "/api/models/org/name/paths-info/main"),
    ],
)
def test_not_served(method: str, path: str) -> None:
    assert read_call(method, path) == OTHER
