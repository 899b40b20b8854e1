"""Comparing a folder with a lock: missing, extra, changed and unreadable files, without needless hashing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from modelenv.files.hashing import Fingerprint
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.store.verification import Difference, HashMemory, Kind, compare, integrity_error, verify_folder

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "sub/vocab.txt": b"a b c"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def locked() -> LockedModel:
    files = tuple(LockedFile(name, len(body), digest(body), digest(body)) for name, body in FILES.items())
    return LockedModel("m", "acme/model", None, "a" * 40, None, files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in FILES.items():
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_bytes(body)
    return tmp_path / "m"


def differences(folder: Path, locked: LockedModel, *, strict: bool = True) -> list[str]:
    return [str(each) for each in verify_folder(folder, locked, strict=strict, allow_links=False).differences]


def test_a_folder_that_matches_has_no_differences(folder: Path, locked: LockedModel) -> None:
    assert differences(folder, locked) == []


def test_all_kinds_of_differences(folder: Path, locked: LockedModel) -> None:
    (folder / "config.json").unlink()
    (folder / "model.safetensors").write_bytes(b"Weights")
    (folder / "sub/vocab.txt").write_bytes(b"a b")
    (folder / "added.json").write_bytes(b"{}")
    assert differences(folder, locked) == [
        "extra added.json: found a file that is not locked",
        "missing config.json: expected 2 bytes",
        f"changed model.safetensors: expected sha256 {digest(b'weights')}, found sha256 {digest(b'Weights')}",
        "changed sub/vocab.txt: expected 5 bytes, found 3 bytes",
    ]


@pytest.mark.parametrize("name", list(FILES))
def test_every_flipped_bit_is_found(folder: Path, locked: LockedModel, name: str) -> None:
    for position in range(len(FILES[name])):
        body = bytearray(FILES[name])
        body[position] ^= 1
        (folder / name).write_bytes(body)
        assert [each.partition(":")[0] for each in differences(folder, locked)] == [f"changed {name}"]


def test_a_file_without_permission_is_unreadable(locked: LockedModel) -> None:
    right = {file.path: Fingerprint(file.size, 0, 0, file.sha256) for file in locked.files}
    del right["config.json"], right["sub/vocab.txt"]
    broken = {"config.json": "Permission denied", "sub": "Input/output error"}
    found = list(compare(locked, right, broken, strict=True))
    assert [(each.kind, each.path, each.found) for each in found] == [
        (Kind.UNREADABLE, "config.json", "Permission denied"),
        (Kind.UNREADABLE, "sub/vocab.txt", "Input/output error"),
    ]


def test_a_link_or_a_pipe_is_not_a_file(folder: Path, locked: LockedModel, tmp_path: Path) -> None:
    (folder / "config.json").rename(tmp_path / "outside")
    (folder / "config.json").symlink_to(tmp_path / "outside")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    (folder / "linked").symlink_to(tmp_path)
    kinds = [each.rpartition(" found ")[2] for each in differences(folder, locked)]
    assert kinds == [
        "a link, but only files are allowed here",
        "a link, but only files are allowed here",
        "not a regular file",
    ]


def test_in_a_shared_cache_only_what_a_load_would_read_is_extra(folder: Path, locked: LockedModel) -> None:
    for name in ("README.md", "pytorch_model.bin", "tf_model.h5", "adapter_model.safetensors", "chat_template.jinja"):
        (folder / name).write_bytes(b"more")
    assert [each.split(":")[0] for each in differences(folder, locked, strict=False)] == [
        "extra adapter_model.safetensors",
        "extra chat_template.jinja",
    ]
    assert len(differences(folder, locked)) == 5


def test_a_known_file_is_not_hashed_again(folder: Path, locked: LockedModel) -> None:
    asked: list[int] = []
    first = verify_folder(folder, locked, strict=True, allow_links=False, before_hashing=asked.append)
    again = verify_folder(
        folder, locked, known=first.fingerprints, strict=True, allow_links=False, before_hashing=asked.append
    )
    assert (first.hashed, again.hashed, asked) == (14, 0, [14])
    (folder / "config.json").write_bytes(b"[]")
    changed = verify_folder(folder, locked, known=first.fingerprints, strict=True, allow_links=False)
    assert changed.hashed == 2
    assert [each.path for each in changed.differences] == ["config.json"]


def test_a_file_of_the_wrong_size_is_not_hashed(folder: Path, locked: LockedModel) -> None:
    for name in FILES:
        (folder / name).write_bytes(b"of another length")
    assert verify_folder(folder, locked, strict=True, allow_links=False).hashed == 0


def test_the_memory_keeps_folders_apart(tmp_path: Path) -> None:
    memory = HashMemory()
    memory.remember(tmp_path, {"a": Fingerprint(1, 2, 3, "0" * 64)})
    assert memory.of(tmp_path)["a"].inode == 3
    assert memory.of(tmp_path / "other") == {}


def test_the_error_names_the_first_files_and_counts_the_rest(tmp_path: Path) -> None:
    found = [Difference(Kind.MISSING, f"{number}.json", "2 bytes") for number in range(7)]
    found.append(Difference(Kind.EXTRA, "x.py", None, "a file that is not locked"))
    error = integrity_error(found, model="acme/model", folder=tmp_path, hint="fetch it")
    assert str(error) == (
        "acme/model: its files do not match the lock: 7 missing, 1 extra\n"
        "  expected: 0.json with 2 bytes\n"
        f"  found: in {tmp_path}: missing 0.json: expected 2 bytes; missing 1.json: expected 2 bytes; "
        "missing 2.json: expected 2 bytes; missing 3.json: expected 2 bytes; missing 4.json: expected 2 bytes; "
        "and 3 more\n"
        "  what to do: fetch it"
    )
