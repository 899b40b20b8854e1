"""Which requests read a repository."""

from __future__ import annotations

import pytest

from modelenv.interception.routes import read_call, written_repo

COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /api/models/acme/model", ("info", "model", "acme/model", None, "")),
        ("GET /api/models/gpt2", ("info", "model", "gpt2", None, "")),
        ("GET /api/models/acme/model/revision/refs%2Fpr%2F1", ("info", "model", "acme/model", "refs/pr/1", "")),
        ("GET /api/models/gpt2/revision/main", ("info", "model", "gpt2", "main", "")),
        ("GET /api/datasets/acme/data", ("info", "dataset", "acme/data", None, "")),
        ("GET /api/models/acme/model/tree/main", ("tree", "model", "acme/model", "main", "")),
        ("GET /api/models/acme/model/tree/main/a/b%20c", ("tree", "model", "acme/model", "main", "a/b c")),
        ("POST /api/models/acme/model/paths-info/v1", ("paths-info", "model", "acme/model", "v1", "")),
        ("HEAD /acme/model/resolve/main/a/b.json", ("file", "model", "acme/model", "main", "a/b.json")),
        ("GET /gpt2/resolve/main/config.json", ("file", "model", "gpt2", "main", "config.json")),
        ("GET /datasets/acme/data/resolve/main/x.csv", ("file", "dataset", "acme/data", "main", "x.csv")),
        ("GET /spaces/acme/app/resolve/main/app.py", ("file", "space", "acme/app", "main", "app.py")),
    ],
)
def test_requests_that_read_a_repo(request_line: str, expected: tuple[object, ...]) -> None:
    call = read_call(*request_line.split(" "))
    assert call is not None
    assert (call.kind, call.repo_type, call.repo, call.revision, call.path) == expected


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /api/models", "GET /api/whoami-v2", "GET /api/models/acme/model/refs", "PUT /api/models/a/b/settings",
        "POST /api/models/acme/model/commit/main", "GET /api/models/acme/model/commits/main", "GET /", "GET /api",
        "PUT /acme/model/resolve/main/x", "GET /acme/model/resolve/main", "GET /api/models/",
        f"GET /api/resolve-cache/models/acme/model/{COMMIT}/config.json", "GET /acme/model/raw/main/config.json",
    ],
)  # fmt: skip
def test_other_requests(request_line: str) -> None:
    assert read_call(*request_line.split(" ")) is None


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /api/models/acme/model", f"/api/models/acme/model/revision/{COMMIT}"),
        ("GET /api/models/acme/model/revision/main", f"/api/models/acme/model/revision/{COMMIT}"),
        ("GET /api/models/acme/model/tree/main/a%20b", f"/api/models/acme/model/tree/{COMMIT}/a%20b"),
        ("HEAD /acme/model/resolve/v%2F1/a%20b", f"/acme/model/resolve/{COMMIT}/a%20b"),
    ],
)
def test_the_same_request_at_a_commit(request_line: str, expected: str) -> None:
    call = read_call(*request_line.split(" "))
    assert call is not None
    assert call.at(COMMIT) == expected


@pytest.mark.parametrize(
    ("request_line", "repo"),
    [
        ("POST /api/models/acme/model/preupload/main", "acme/model"),
        ("POST /api/models/acme/model/commit/refs%2Fpr%2F1", "acme/model"),
        ("POST /api/models/gpt2/commit/main", "gpt2"),
        ("POST /api/models/acme/model/paths-info/main", None),
        ("POST /api/datasets/acme/data/commit/main", None),
        ("GET /api/models/acme/model/commits/main", None),
        ("POST /api/models", None),
    ],
)
def test_requests_that_write(request_line: str, repo: str | None) -> None:
    assert written_repo(*request_line.split(" ")) == repo
