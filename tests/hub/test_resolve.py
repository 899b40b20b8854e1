from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from modelenv.hub.http.files import Span, read_range
from modelenv.hub.http.responses import RefusedError
from modelenv.hub.repos import blobs
from modelenv.hub.repos.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from modelenv.hub import EmbeddedHub


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", Span(0, 10)),
        ("bytes=3-5", Span(3, 6)),
        ("bytes=9-9", Span(9, 10)),
        ("bytes=5-99", Span(5, 10)),
        ("bytes=-4", Span(6, 10)),
        ("bytes=-99", Span(0, 10)),
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-3", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
    ],
)
def test_ranges(header: str | None, span: Span | None) -> None:
    assert read_range(header, 10) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_ranges_beyond_the_end(header: str, size: int) -> None:
    with pytest.raises(RefusedError) as caught:
        read_range(header, size)
    assert (caught.value.status, caught.value.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_a_plain_file(ask, model: Path) -> None:
    content = (model / "config.json").read_bytes()
    commit = Repository("org/name", model).snapshot().commit
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    got = ask("GET", "/org/name/resolve/main/config.json")
    head = ask("HEAD", f"/org/name/resolve/{commit}/config.json")
    assert (got.status, got.body) == (200, content)
    assert (head.status, head.body) == (200, b"")
    for headers in (got.headers, head.headers):
        assert headers["etag"] == f'"{blob}"'
        assert headers["x-repo-commit"] == commit
        assert headers["content-length"] == str(len(content))
        assert headers["accept-ranges"] == "bytes"
        assert headers["content-type"] == "text/plain; charset=utf-8"
        expected = "inline; filename*=UTF-8''config.json; filename=\"config.json\";"
        assert headers["content-disposition"] == expected
        assert "x-linked-etag" not in headers


def test_an_lfs_file(ask, model: Path) -> None:
    content = (model / "model.safetensors").read_bytes()
    sha256 = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = ask("HEAD", "/org/name/resolve/main/model.safetensors").headers
    assert headers["etag"] == headers["x-linked-etag"] == sha256
    assert headers["x-linked-size"] == headers["content-length"] == str(len(content))
    assert headers["content-type"] == "application/octet-stream"


def test_a_part_of_a_file(ask, hub: EmbeddedHub, model: Path) -> None:
    content = (model / "vocab.txt").read_bytes()
    part = ask("GET", "/org/name/resolve/main/vocab.txt", Range="bytes=10-19")
    assert (part.status, part.body) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert part.headers["content-length"] == "10"
    behind = ask("GET", "/org/name/resolve/main/vocab.txt", Range="bytes=99999-")
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert [(request.status, request.range) for request in hub.requests] == [
        (206, "bytes=10-19"),
        (416, "bytes=99999-"),
    ]
    assert hub.requests[0].body_bytes == 10


def test_a_head_has_the_size_of_the_whole_file(ask, model: Path) -> None:
    head = ask("HEAD", "/org/name/resolve/main/vocab.txt", Range="bytes=0-0")
    assert (head.status, head.headers["content-length"]) == (200, str((model / "vocab.txt").stat().st_size))


def test_if_none_match_of_an_unchanged_file(ask, hub: EmbeddedHub) -> None:
    path = "/org/name/resolve/main/vocab.txt"
    etag = ask("HEAD", path).headers["etag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = ask("GET", path, If_None_Match=header)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert ask("GET", path, If_None_Match='"other"').status == 200


def test_if_range_of_a_changed_file_sends_the_whole_file(ask) -> None:
    path = "/org/name/resolve/main/vocab.txt"
    etag = ask("HEAD", path).headers["etag"]
    assert ask("GET", path, Range="bytes=1-2", If_Range=etag).status == 206
    assert ask("GET", path, Range="bytes=1-2", If_Range='"other"').status == 200


def test_an_empty_file_and_an_unusual_name(ask) -> None:
    empty = ask("GET", "/org/name/resolve/main/parts/deep/empty.txt")
    assert (empty.status, empty.body, empty.headers["content-length"]) == (200, b"", "0")
    named = ask("GET", "/org/name/resolve/main/parts/gr%C3%B6%C3%9Fe%201.txt")
    assert (named.status, named.body) == (200, b"x")
    expected = "inline; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.txt; filename=\"gr__e 1.txt\";"
    assert named.headers["content-disposition"] == expected


def test_a_changed_folder_is_a_new_commit_and_the_old_one_is_kept(ask, model: Path) -> None:
    before = ask("GET", "/org/name/resolve/main/vocab.txt")
    commit = before.headers["x-repo-commit"]
    (model / "vocab.txt").write_text("changed")
    after = ask("GET", "/org/name/resolve/main/vocab.txt")
    assert (after.body, after.headers["x-repo-commit"] == commit) == (b"changed", False)
    kept = ask("GET", f"/org/name/resolve/{commit}/vocab.txt")
    assert (kept.status, kept.body, kept.headers["x-repo-commit"]) == (200, before.body, commit)
    (model / "README.md").unlink()
    assert ask("HEAD", f"/org/name/resolve/{commit}/README.md").status == 200
    assert ask("HEAD", "/org/name/resolve/main/README.md").status == 404


def test_no_copy_of_a_large_file_is_kept(ask, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "_COPIED_BYTES", 1000)
    before = ask("GET", "/org/name/resolve/main/vocab.txt")
    commit = before.headers["x-repo-commit"]
    (model / "vocab.txt").write_bytes(bytes(2000))
    assert ask("GET", "/org/name/resolve/main/vocab.txt").body == bytes(2000)
    gone = ask("GET", f"/org/name/resolve/{commit}/vocab.txt")
    assert (gone.status, gone.headers["x-error-message"]) == (
        410,
        "vocab.txt was changed on disk, and the embedded Hub keeps no copies of files of this size",
    )
    (model / "vocab.txt").unlink()
    assert ask("GET", f"/org/name/resolve/{commit}/vocab.txt").status == 410
