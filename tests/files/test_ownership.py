"""Which files of a store belong to a model, and which commit a reference contains."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import UnsafeModelError
from modelenv.files.ownership import check_owned, commit_named_by, entries, is_in_place, owns
from modelenv.references import ModelRef
from modelenv.store.store import Store

REF = ModelRef("acme/model")
COMMIT = "a" * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store whose own folder is behind a link, with a model and a file of the user beside it."""
    (tmp_path / "disk/models--acme--model/blobs").mkdir(parents=True)
    (tmp_path / f"disk/models--acme--model/snapshots/{COMMIT}/onnx").mkdir(parents=True)
    (tmp_path / "disk/models--acme--other/blobs").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "store").symlink_to("disk")
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("models--acme--model/blobs/x", True),
        (f"models--acme--model/snapshots/{COMMIT}/config.json", True),
        (f"models--acme--model/snapshots/{COMMIT}/onnx/model.onnx", True),
        ("hub/models--acme--model/blobs/x", True),
        ("models--acme--model/blobs/folder/x", False),
        ("models--acme--model/blobs", False),
        (f"models--acme--model/snapshots/{COMMIT}", False),
        ("models--acme--model/notes.txt", False),
        ("models--acme--model/refs/main", False),
        ("models--acme--other/blobs/x", False),
        (f"models--acme--model/snapshots/{COMMIT}/../../../models--acme--other/blobs/x", False),
        ("../mine/x", False),
        ("acme/model/config.json", False),
    ],
)
def test_a_model_owns_its_blobs_and_what_is_in_its_snapshots(root: Path, path: str, is_own: bool) -> None:
    assert owns(root, REF, root / path) is is_own
    assert owns(root, REF, Path(os.path.realpath(root)) / path) is is_own


def test_a_file_behind_a_link_does_not_belong_to_the_model(root: Path, tmp_path: Path) -> None:
    snapshot = root / "models--acme--model/snapshots" / COMMIT
    (snapshot / "sub").symlink_to(tmp_path / "mine")
    assert owns(root, REF, snapshot / "sub")  # the link itself
    assert not owns(root, REF, snapshot / "sub/x")
    (tmp_path / "mine/x").write_text("mine")
    with pytest.raises(UnsafeModelError) as caught:
        check_owned(root, REF, snapshot / "sub/x")
    assert str(caught.value) == (
        "acme/model: a link leads to a file that does not belong to the model, so modelenv does not change it\n"
        f"  expected: a file in {root}/models--acme--model\n"
        f"  found: {tmp_path}/mine/x\n"
        "  what to do: remove the link; the next load then fetches the model's own file, "
        "if the source allows downloads"
    )
    with pytest.raises(UnsafeModelError):
        Store(root).set_aside(REF, snapshot / "sub/x")
    assert (tmp_path / "mine/x").read_text() == "mine"


@pytest.mark.parametrize("folder", ["", "/blobs", "/snapshots", "/refs", "/trees"])
@pytest.mark.parametrize("place", ["models--acme--model", "hub/models--acme--model"])
def test_no_lock_is_taken_on_a_model_whose_folder_is_a_link(tmp_path: Path, place: str, folder: str) -> None:
    store, link = Store(tmp_path / "store"), tmp_path / f"store/{place}{folder}"
    (tmp_path / "mine").mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "mine")
    with pytest.raises(UnsafeModelError) as caught, store.lock(REF, Deadline(1)):
        pytest.fail("the lock was taken")
    assert str(caught.value) == (
        "acme/model: a folder of the model is a link, and modelenv does not write through links\n"
        f"  expected: a folder below {store.root}\n"
        f"  found: {link} -> {tmp_path}/mine\n"
        "  what to do: replace the link with the folder itself, or set MODEL_CACHE_DIR to a store without such links"
    )
    assert [path.name for path in store.root.iterdir()] == [place.partition("/")[0]]


@pytest.mark.parametrize(
    ("content", "commit"),
    [
        (COMMIT.encode(), COMMIT),
        (COMMIT.encode() + b"\n", COMMIT),
        (b"", None),
        (b"\xff\xfe\x00", None),
        (b"../../../outside", None),
        (COMMIT.upper().encode(), None),
        (COMMIT[:-1].encode(), None),
        (b"a" * 100_000, None),
    ],
)
def test_a_reference_names_a_commit_or_nothing(tmp_path: Path, content: bytes, commit: str | None) -> None:
    (tmp_path / "main").write_bytes(content)
    assert commit_named_by(tmp_path / "main") == commit


def test_a_reference_that_is_not_a_file_names_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "nowhere", "loop", "folder", "missing", "folder/../main/x"):
        assert commit_named_by(tmp_path / name) is None


def test_a_link_to_a_folder_is_an_entry_and_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/file").write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("")
    (tmp_path / "folder/link").symlink_to(tmp_path / "outside")
    found = [path.relative_to(tmp_path / "folder").as_posix() for path in entries(tmp_path / "folder")]
    assert found == ["link", "sub/file"]
    assert is_in_place(tmp_path, tmp_path / "folder/sub/file")
    assert not is_in_place(tmp_path, tmp_path / "folder/link/file")
    assert list(entries(tmp_path / "missing")) == []
