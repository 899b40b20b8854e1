from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelenv.hub.repos.commits import CommitText, commit_id
from modelenv.hub.repos.content import (
    LFS_SIZE,
    FoundFile,
    git_id,
    hash_file,
    lfs_pointer,
    served_file,
    tree_ids,
)


def found(path: str, size: int = 1) -> FoundFile:
    return FoundFile(path, Path("/nowhere") / path, size, 0)


@pytest.mark.parametrize(
    ("path", "lfs"),
    [
        ("model.safetensors", True),
        ("sub/pytorch_model.bin", True),
        ("spiece.model", True),
        ("events.out.tfevents.1", True),
        ("archive.tar.gz", True),
        ("saved_model/variables/x.txt", True),
        ("my_saved_model/x.txt", False),
        ("config.json", False),
        ("safetensors", False),
        ("model.safetensors.index.json", False),
    ],
)
def test_lfs_by_name(path: str, lfs: bool) -> None:
    assert found(path).lfs is lfs


def test_lfs_by_size() -> None:
    assert not found("tokenizer.json", LFS_SIZE).lfs
    assert found("tokenizer.json", LFS_SIZE + 1).lfs


def test_ids_agree_with_git(tmp_path: Path) -> None:
    files = {"a.txt": b"a", "b.txt": b"", "b/c.txt": b"c", "b/d/e.txt": b"e\n", "b-1": b"z", "ü": b"u"}
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.autocrlf=false", *arguments]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    git("init", "--quiet", "--object-format=sha1")
    git("add", ".")
    tree = git("write-tree")

    blobs = {path: hash_file(FoundFile(path, tmp_path / path, len(content), 0)) for path, content in files.items()}
    assert blobs == {path: git("hash-object", path) for path in files}
    trees = tree_ids(blobs)
    assert trees == {"": tree, "b": git("rev-parse", f"{tree}:b"), "b/d": git("rev-parse", f"{tree}:b/d")}
    commit = f"tree {tree}\nauthor {{0}}\ncommitter {{0}}\n\nServed from a folder\n"
    text = commit.replace("{0}", "modelenv <modelenv@localhost> 0 +0000")
    written = subprocess.run(
        ["git", "hash-object", "-t", "commit", "--stdin", "-w"],
        cwd=tmp_path,
        input=text,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = CommitText("Served from a folder", "", "modelenv", datetime.fromtimestamp(0, UTC))
    assert commit_id(trees[""], (), text) == written.stdout.strip()


def test_the_tree_id_of_an_empty_repository(tmp_path: Path) -> None:
    assert tree_ids({}) == {"": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}


def test_the_pointer_to_an_lfs_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    file = FoundFile("model.safetensors", path, 7, 0)
    sha256 = hashlib.sha256(b"weights").hexdigest()

    served = served_file(file, hash_file(file))

    assert served.sha256 == sha256 == served.etag
    assert served.blob_id == git_id("blob", lfs_pointer(sha256, 7))
    assert lfs_pointer(sha256, 7).decode().splitlines() == [
        "version https://git-lfs.github.com/spec/v1",
        f"oid sha256:{sha256}",
        "size 7",
    ]
