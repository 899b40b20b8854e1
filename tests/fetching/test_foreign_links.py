"""A snapshot's links can lead anywhere: only the model's own files are ever moved, renamed or removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked, snapshot_of
from modelenv.loading.unlocked_folder import find_model, find_or_fetch_model
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

REF = ModelRef("acme/model")
Load = Callable[[], Path]


@pytest.fixture
def locked(hub: EmbeddedHub, make_model: MakeModel, lock: Lock) -> LockedModel:
    hub.add(make_model(), "acme/model")
    return lock()


@pytest.fixture(params=["by the lock", "by name", "from a volume"])
def road(request: pytest.FixtureRequest) -> str:
    """The way in which a snapshot becomes a folder to load."""
    return str(request.param)


@pytest.fixture
def load(road: str, store: Store, locked: LockedModel) -> Load:
    """Load in that way from the filled store."""
    obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks())
    if road == "by the lock":
        return lambda: obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks()).path
    if road == "by name":
        return lambda: find_or_fetch_model(store, REF, Deadline(20)).path
    return lambda: find_model(store, REF).path


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below the folder, with its content."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes() for path in paths}


def blob_of(store: Store, locked: LockedModel, name: str) -> Path:
    return Path(os.path.realpath(snapshot_of(store, locked) / name))


@pytest.mark.parametrize("named_like_a_blob", [True, False])
def test_a_link_to_a_file_of_the_users_is_an_error_and_the_file_stays(
    load: Load, store: Store, locked: LockedModel, tmp_path: Path, named_like_a_blob: bool
) -> None:
    blob = blob_of(store, locked, "config.json")
    mine = tmp_path / "mine" / (blob.name if named_like_a_blob else "config.json")
    mine.parent.mkdir()
    mine.write_text("mine")
    link = snapshot_of(store, locked) / "config.json"
    link.unlink()
    link.symlink_to(mine)
    with pytest.raises(UnsafeModelError, match="a link leads out of the store"):
        load()
    assert tree(mine.parent) == {str(mine): b"mine"}
    assert link.is_symlink()
    link.unlink()
    link.symlink_to(os.path.relpath(blob, link.parent))
    assert load()


def test_a_pipe_behind_a_link_does_not_block(load: Load, road: str, store: Store, locked: LockedModel) -> None:
    os.mkfifo(store.root / ("d" * 40))
    link = snapshot_of(store, locked) / "config.json"
    link.unlink()
    link.symlink_to(store.root / ("d" * 40))
    if road == "from a volume":
        with pytest.raises(ModelIntegrityError, match="not a regular file"):
            load()
    else:
        assert (load() / "config.json").is_file()  # the link is created again
    assert (store.root / ("d" * 40)).is_fifo()


def test_a_damaged_blob_of_another_model_is_not_moved(
    load: Load, road: str, store: Store, locked: LockedModel
) -> None:
    """With a lock the link is repaired, without one it is an error."""
    other = store.root / "models--acme--other/blobs" / blob_of(store, locked, "config.json").name
    other.parent.mkdir(parents=True)
    other.write_text("of another model, and damaged")
    link = snapshot_of(store, locked) / "config.json"
    link.unlink()
    link.symlink_to(os.path.relpath(other, link.parent))
    if road == "by the lock":
        assert (load() / "config.json").read_bytes() != other.read_bytes()
        assert link.resolve().parent == snapshot_of(store, locked).parent.parent / "blobs"
    else:
        with pytest.raises((UnsafeModelError, ModelIntegrityError)) as caught:
            load()
        assert str(other) in str(caught.value)
        assert link.readlink() == Path(os.path.relpath(other, link.parent))
    assert other.read_text() == "of another model, and damaged"


def test_nothing_is_written_through_a_folder_that_is_a_link(
    hub: EmbeddedHub, make_model: MakeModel, lock: Lock, store: Store, tmp_path: Path
) -> None:
    source = make_model()
    (source / "sub").mkdir()
    (source / "sub/vocab.txt").write_text("a")
    hub.add(source, "acme/model")
    locked = lock()
    snapshot = obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks()).path
    elsewhere = store.root / "of somebody"
    (snapshot / "sub").rename(elsewhere)
    (elsewhere / "vocab.txt").unlink()
    (snapshot / "sub").symlink_to(elsewhere)
    with pytest.raises(UnsafeModelError, match="a link leads to a file that does not belong to the model"):
        obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks())
    assert list(elsewhere.iterdir()) == []
    (store.root / "models--acme--model/refs/main").unlink()
    (store.root / f"models--acme--model/snapshots/{'e' * 40}").mkdir()  # so that no snapshot is found
    for place in (elsewhere, tmp_path / "mine"):
        place.mkdir(exist_ok=True)
        (snapshot / "sub").unlink()
        (snapshot / "sub").symlink_to(place)
        with pytest.raises(UnsafeModelError, match="a link leads to a file that does not belong to the model"):
            find_or_fetch_model(store, REF, Deadline(20))
        assert list(place.iterdir()) == []


@pytest.mark.parametrize("folder", ["", "/blobs", "/snapshots", "/refs"])
def test_nothing_is_fetched_into_a_folder_that_is_a_link(
    hub: EmbeddedHub, locked: LockedModel, store: Store, tmp_path: Path, folder: str
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    link = Path(f"{store.root}/models--acme--model{folder}")
    link.parent.mkdir(parents=True)
    link.symlink_to(mine)
    for fetch in (
        lambda: obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks()),
        lambda: find_or_fetch_model(store, REF, Deadline(20)),
    ):
        with pytest.raises(UnsafeModelError, match=r"a folder of the model is a link|a link leads out"):
            fetch()
    assert list(mine.iterdir()) == []
    hub.assert_no_requests()


@pytest.mark.parametrize("content", [b"../../models--acme--other/snapshots/x", b"/etc", b"\xff\xfe", b"not a commit"])
def test_a_reference_without_a_commit_is_ignored(
    load: Load, road: str, store: Store, locked: LockedModel, content: bytes
) -> None:
    other = store.root / "models--acme--other/snapshots/x"
    other.mkdir(parents=True)
    (other / "config.json").write_text("{}")
    reference = store.root / "models--acme--model/refs/main"
    reference.write_bytes(content)
    before = tree(other)
    if road == "from a volume":
        with pytest.raises(ModelNotFoundError, match="not in this store"):
            load()
    else:
        assert load() == snapshot_of(store, locked)
    assert tree(other) == before
    assert not [path for path in store.root.rglob("*.json") if "x.json" in path.name]
