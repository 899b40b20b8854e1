"""Pushes with plain requests: valid ones, and the errors for invalid ones."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from modelenv.hub import EmbeddedHub
from modelenv.hub.repos.content import LFS_SIZE

from ..waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = {"key": "header", "value": {"summary": "a title"}}
ANYBODY = {"Authorization": "Bearer hf_any"}
CONTENT = b"weights"
OID = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def post(ask) -> Callable[..., Any]:
    def send(path: str, value: object) -> Any:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return ask("POST", path, body, **ANYBODY)

    return send


@pytest.fixture
def commit(ask) -> Callable[..., Any]:
    def send(*lines: object, revision: str = "main") -> Any:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        return ask("POST", f"/api/models/org/name/commit/{revision}", "\n".join(texts).encode(), **ANYBODY)

    return send


def file(path: str, content: str = base64.b64encode(b"x").decode(), encoding: str = "base64") -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": content, "encoding": encoding}}


def test_a_commit_with_a_plain_request(commit, ask) -> None:
    answer = commit(
        HEADER, file("a.txt"), file("b.txt", "plain", "utf-8"), {"key": "deletedFile", "value": {"path": "parts"}}
    )
    told = json.loads(answer.body)
    assert (answer.status, told["success"], told["commitUrl"].endswith(f"/org/name/commit/{told['commitOid']}")) == (
        200,
        True,
        True,
    )
    assert ask("GET", "/org/name/resolve/main/a.txt").body == b"x"
    assert ask("GET", "/org/name/resolve/main/b.txt").body == b"plain"
    assert ask("GET", "/org/name/resolve/main/parts/deep/empty.txt").status == 404


@pytest.mark.parametrize(
    ("lines", "status", "message"),
    [
        ([], 400, "Invalid body: expected a header line"),
        (["no json"], 400, "Invalid body: expected lines of JSON objects with key and value"),
        (["[1]"], 400, "Invalid body: expected lines of JSON objects"),
        ([file("a.txt")], 400, "Invalid body: expected a header line with a summary"),
        ([{"key": "header", "value": {"summary": " "}}], 400, "Invalid body: expected a header line with a summary"),
        ([HEADER, {"key": "renamed", "value": {"path": "a"}}], 400, "Invalid key renamed: expected file, lfsFile"),
        ([HEADER, file("a.txt", "%%%")], 400, "Invalid base64 content of a.txt"),
        ([HEADER, file("../a.txt")], 422, "Invalid path in the repository: ../a.txt"),
        ([HEADER, file("..\\a.txt")], 422, "Invalid path in the repository"),
        ([HEADER, file("/a.txt")], 422, "Invalid path in the repository: /a.txt"),
        ([HEADER, file(".git/config")], 422, "Invalid path in the repository: .git/config"),
        ([HEADER, file("\udcff.txt")], 400, "Invalid body: it contains a lone surrogate"),
        ([{"key": "header", "value": {"summary": "\ud800"}}], 400, "Invalid body: it contains a lone surrogate"),
        ([HEADER, file("")], 422, "Invalid path in the repository: "),
        ([HEADER, file("vocab.txt/a")], 422, "vocab.txt/a is in a folder with the same name as a file"),
        (
            [HEADER, {"key": "deletedFolder", "value": {"path": "nix/"}}],
            404,
            "A file with this name doesn't exist: nix/",
        ),
        (
            [HEADER, {"key": "lfsFile", "value": {"path": "a.bin", "oid": OID}}],
            400,
            f"The LFS object {OID} of a.bin was not uploaded",
        ),
    ],
)
def test_a_refused_commit_changes_nothing(commit, ask, lines: list[object], status: int, message: str) -> None:
    before = json.loads(ask("GET", "/api/models/org/name").body)["sha"]
    answer = commit(*lines)
    assert answer.status == status
    assert json.loads(answer.body)["error"].startswith(message)
    assert json.loads(ask("GET", "/api/models/org/name").body)["sha"] == before


def test_a_commit_needs_a_branch(commit) -> None:
    answer = commit(HEADER, file("a.txt"), revision="nothing")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_too_long_a_line_is_refused(commit) -> None:
    answer = commit(HEADER, "x" * (2 * LFS_SIZE + 100_000))
    assert (answer.status, answer.headers["x-error-message"]) == (
        413,
        "A line of this commit is too long: send files of more than 10 MB with LFS",
    )


def batch(post, size: int = len(CONTENT), oid: str = OID) -> Any:
    value = {"operation": "upload", "objects": [{"oid": oid, "size": size}]}
    return json.loads(post("/org/name.git/info/lfs/objects/batch", value).body)["objects"][0]


def test_an_upload_is_stored_if_its_content_matches(hub: EmbeddedHub, post, ask) -> None:
    href = batch(post)["actions"]["upload"]["href"].removeprefix(hub.endpoint)
    wrong = ask("PUT", href, b"weighty")
    assert (wrong.status, wrong.headers["x-error-message"]) == (
        400,
        f"The content is not that of {OID}, or not of 7 bytes",
    )
    missing = post("/org/name.git/info/lfs/objects/verify", {"oid": OID, "size": 7})
    assert (missing.status, missing.headers["x-error-message"]) == (404, f"LFS object {OID} was not uploaded")
    unknown = ask("PUT", href.replace("size=7", "size=8"), CONTENT)
    assert (unknown.status, unknown.headers["x-error-message"]) == (403, "This upload was not announced")
    assert ask("PUT", href, CONTENT).status == 200
    assert post("/org/name.git/info/lfs/objects/verify", {"oid": OID, "size": 7}).status == 200
    assert "actions" in batch(post)  # not yet in a commit


def test_a_file_in_the_repository_has_no_upload_url(post, model: Path) -> None:
    content = (model / "model.safetensors").read_bytes()
    assert batch(post, len(content), hashlib.sha256(content).hexdigest()).keys() == {"oid", "size"}


def test_an_interrupted_upload_leaves_no_files(model: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    with EmbeddedHub(storage=storage) as hub:
        hub.add(model, "org/name")
        port = int(hub.endpoint.rsplit(":", 1)[1])
        asked = json.dumps({"operation": "upload", "objects": [{"oid": OID, "size": 7}]}).encode()
        head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer hf_any\r\nContent-Length: "
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            start = f"POST /org/name.git/info/lfs/objects/batch HTTP/1.1\r\n{head}{len(asked)}\r\n\r\n"
            client.sendall(start.encode() + asked)
            answer = b""
            while not answer.endswith(b"]}"):
                answer += client.recv(65536)
            href = json.loads(answer.split(b"\r\n\r\n")[1])["objects"][0]["actions"]["upload"]["href"]
            client.sendall(f"PUT {href.removeprefix(hub.endpoint)} HTTP/1.1\r\n{head}7\r\n\r\n".encode() + b"wei")
            wait_until(lambda: any(storage.glob("incoming-*")))
        wait_until(lambda: not any(storage.glob("incoming-*")))
    assert hub.requests[-1].status is None
    assert not (storage / OID[:2] / OID).exists()


@pytest.mark.parametrize(
    ("item", "message"),
    [({"oid": "../x", "size": 1}, "Invalid oid or size"), ({"oid": OID, "size": -1}, "Invalid oid or size")],
)
def test_a_batch_refuses_single_objects(post, item: dict[str, Any], message: str) -> None:
    answer = post("/org/name.git/info/lfs/objects/batch", {"operation": "upload", "objects": [item]})
    assert json.loads(answer.body)["objects"][0]["error"] == {"code": 422, "message": message}


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    ("path", "value", "status", "message"),
    [
        ("/org/name.git/info/lfs/objects/batch", {"operation": "download"}, 501, "LFS download is not served"),
        ("/api/models/org/name/preupload/main", {}, 400, "Invalid body: expected files, each with path"),
        ("/api/models/org/name/preupload/main", b"[]", 400, "Invalid body: expected a JSON object"),
        (
            "/api/models/org/name/preupload/main",
            {"files": [{"path": "a", "sample": "%"}]},
            400,
            "Invalid sample of a",
        ),
        (
            "/api/models/org/name/preupload/main",
            {"files": [{"path": "a", "size": "9"}]},
            400,
            "Invalid body: expected files, each with path, sample and size",
        ),
        ("/api/models/org/name/preupload/main", b"[" * 100_000, 400, "Invalid body: expected a JSON object"),
        (
            "/org/name.git/info/lfs/objects/batch",
            {"operation": "upload", "objects": ["x"]},
            400,
            "Invalid body: expected objects, each with oid and size",
        ),
        ("/api/models/org/name/preupload/v9", {"files": []}, 404, "Invalid rev id: v9"),
        ("/api/repos/create", {"name": "a b"}, 400, "Invalid repository name: a b"),
        ("/api/repos/create", {"name": "a", "visibility": []}, 400, "Invalid visibility: []; expected one of public"),
        ("/api/repos/create", {"name": "a", "gated": "maybe"}, 400, "Invalid value of gated: maybe"),
        ("/api/repos/move", {"fromRepo": "org/name", "toRepo": "../x"}, 400, "Invalid repository name: ../x"),
        ("/api/models/org/name/super-squash/v9", {}, 404, "Invalid rev id: v9"),
        (
            "/api/models/org/name/discussions",
            {"title": "a \ud800"},
            400,
            "Invalid body: it contains a lone surrogate",
        ),
        ("/api/models/org/name/discussions/1/merge", {}, 404, "Discussion not found: 1"),
    ],
)
def test_invalid_requests_are_refused(post, path: str, value: object, status: int, message: str) -> None:
    answer = post(path, value)
    assert (answer.status, json.loads(answer.body)["error"].startswith(message)) == (status, True), answer.body
