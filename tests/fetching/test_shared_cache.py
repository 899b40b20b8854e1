"""A cache that several sets of files of one commit, and other programs, share. Also in offline mode."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.errors import ModelIntegrityError, ModelNotFoundError
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import find_locked, obtain_locked, snapshot_of
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.pruning import remove, superfluous
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.fixture
def repo(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    """A repo without code, and with a copy of its weights for another program."""
    folder = make_model()
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(b"weights for another program")
    hub.add(folder, "acme/model")
    return folder


@pytest.fixture
def full(repo: Path, lock: Lock) -> LockedModel:
    """The files that transformers loads."""
    return lock(alias="full")


@pytest.fixture
def small(repo: Path, lock: Lock) -> LockedModel:
    """Other files of the same commit."""
    return lock(alias="small", files=("*.json", "onnx/*"))


def obtain(store: Store, locked: LockedModel, *, fetches: bool = True, checks: Checks | None = None) -> Path:
    return obtain_locked(store, locked, Deadline(20), fetches=fetches, checks=checks or Checks()).path


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def names(locked: LockedModel) -> list[str]:
    return [file.path for file in locked.files]


def test_two_sets_of_one_commit_share_a_cache(
    hub: EmbeddedHub, store: Store, full: LockedModel, small: LockedModel
) -> None:
    for _ in range(2):
        obtain(store, full)
        assert files_in(obtain(store, small)) == names(small)  # a load gets only these
    assert [find_locked(store, each, Checks(full=True))[1].differences for each in (full, small)] == [(), ()]
    assert not (store.root / ".locks/modelenv/damaged").exists()
    hub.clear()
    obtain(store, full)
    obtain(store, small)
    hub.assert_no_requests()


def test_files_that_another_program_fetched_stay(store: Store, repo: Path, small: LockedModel) -> None:
    from huggingface_hub import snapshot_download

    theirs = Path(snapshot_download("acme/model", cache_dir=store.root))
    before = files_in(theirs)
    ours = obtain(store, small)
    assert (files_in(ours), files_in(theirs)) == (names(small), before)
    (ours / "added.json").write_text("{}")
    assert files_in(obtain(store, small)) == names(small)


def test_a_file_added_to_a_shared_snapshot_is_still_found(
    store: Store, full: LockedModel, small: LockedModel
) -> None:
    obtain(store, full)
    obtain(store, small)
    snapshot = snapshot_of(store, small)
    (snapshot / "generation_config.json").write_text("{}")
    [difference] = find_locked(store, small, Checks())[1].differences
    assert str(difference) == "extra generation_config.json: found a file that is not locked"
    with pytest.raises(ModelIntegrityError, match="its files do not match the lock: 1 extra"):
        obtain(store, small, fetches=False)
    assert files_in(obtain(store, small)) == names(small)
    assert not (snapshot / "generation_config.json").exists()


def test_nothing_is_loaded_if_the_locked_files_cannot_be_separated(
    store: Store, full: LockedModel, small: LockedModel
) -> None:
    obtain(store, small)
    obtain(store, full)
    shutil.rmtree(store.root / ".locks")
    with pytest.raises(ModelIntegrityError) as caught:
        obtain(store, small, fetches=False, checks=Checks(remembers=False))
    assert str(caught.value) == (
        "acme/model: its files do not match the lock: 1 extra\n"
        f"  found: in {snapshot_of(store, small)}: extra model.safetensors: found a file that is not locked\n"
        "  what to do: run `modelenv pull` as a user who can write to this store: it creates a folder "
        "with the locked files only"
    )


def test_the_links_are_removed_with_their_snapshot(store: Store, full: LockedModel, small: LockedModel) -> None:
    obtain(store, full)
    links = obtain(store, small)
    ref = ModelRef("acme/model")
    what = superfluous(store, ref, (), unshared=True)
    assert what.snapshots == (snapshot_of(store, full),)
    assert links.parent not in what.snapshots
    remove(store, ref, what)
    assert not links.exists()
    assert not list((store.root / "models--acme--model/blobs").iterdir())


def damage(path: Path) -> bytes:
    blob = path.resolve()
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    return blob.read_bytes()


def test_offline_damage_is_reported_and_nothing_is_set_aside(store: Store, full: LockedModel) -> None:
    path = obtain(store, full) / "config.json"
    damaged = damage(path)
    locked = next(file for file in full.files if file.path == "config.json")
    with environment(OFFLINE), pytest.raises(ModelIntegrityError) as caught:
        obtain(store, full)
    assert caught.value.what == "its files do not match the lock: 1 changed"
    assert caught.value.expected == f"config.json with sha256 {locked.sha256}"
    assert path.read_bytes() == damaged
    obtain(store, full)
    with environment(OFFLINE):
        path.unlink()  # everything that is needed exists: no request
        assert obtain(store, full) == path.parent


def test_offline_a_missing_model_is_reported(store: Store, full: LockedModel) -> None:
    with environment(OFFLINE), pytest.raises(ModelNotFoundError) as caught:
        obtain(store, full)
    assert caught.value.what == (
        f"the locked commit {full.commit[:12]} is not in this store, and offline mode is on, so it was not downloaded"
    )
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("unset HF_HUB_OFFLINE, or run `modelenv pull`")


def test_offline_damage_without_a_lock_is_reported_and_nothing_is_set_aside(store: Store, repo: Path) -> None:
    ref = ModelRef("acme/model")
    path = find_or_fetch_model(store, ref, Deadline(20)).path / "config.json"
    damaged, blob = damage(path), Path(os.path.realpath(path))
    with environment(OFFLINE), pytest.raises(ModelIntegrityError) as caught:
        find_or_fetch_model(store, ref, Deadline(20))
    assert caught.value.expected == f"config.json with the hash {blob.name}"
    assert caught.value.found == f"other content in {blob}"
    assert path.read_bytes() == damaged
