"""A locked model takes no request if it is cached, else one GET per missing file, and loads only locked files."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import (
    ModelDownloadError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    UnsafeModelError,
)
from modelenv.fetching.failures import FailureLog
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked, snapshot_of
from modelenv.loading.look_and_mend import Obtained
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

FILES = ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def locked(hub: EmbeddedHub, make_model: MakeModel, lock: Lock) -> LockedModel:
    hub.add(make_model(), "acme/model")
    return lock()


def obtain(store: Store, locked: LockedModel, *, fetches: bool = True, checks: Checks | None = None) -> Obtained:
    return obtain_locked(store, locked, Deadline(20), fetches=fetches, checks=checks or Checks())


def requested(hub: EmbeddedHub) -> list[tuple[str, str | None]]:
    return sorted((request.method, request.file) for request in hub.requests)


def test_an_empty_cache_takes_one_get_per_file(hub: EmbeddedHub, store: Store, locked: LockedModel) -> None:
    obtained = obtain(store, locked)
    assert requested(hub) == [("GET", name) for name in FILES]
    assert obtained.fetched is not None
    assert (obtained.fetched.requests, obtained.fetched.files) == (3, 3)
    assert obtained.fetched.bytes == sum(file.size for file in locked.files)
    assert sorted(path.name for path in obtained.path.iterdir()) == FILES


def test_a_filled_cache_takes_no_request_and_no_hashing(hub: EmbeddedHub, store: Store, locked: LockedModel) -> None:
    obtain(store, locked)
    hub.stop()
    hashed: list[int] = []
    assert obtain(store, locked, checks=Checks(before_hashing=hashed.append)).fetched is None
    assert hashed == []
    obtain(store, locked, checks=Checks(before_hashing=hashed.append, full=True))
    assert hashed == [sum(file.size for file in locked.files)]


def test_a_fetched_model_is_found_by_the_hugging_face_libraries(
    hub: EmbeddedHub, store: Store, locked: LockedModel
) -> None:
    from huggingface_hub import snapshot_download

    path = obtain(store, locked).path
    hub.stop()
    assert Path(snapshot_download("acme/model", cache_dir=store.root, local_files_only=True)) == path


def test_a_model_that_the_hugging_face_libraries_fetched_is_used(
    hub: EmbeddedHub, store: Store, locked: LockedModel
) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download("acme/model", cache_dir=store.root)
    hub.clear()
    assert obtain(store, locked).fetched is None
    hub.assert_no_requests()


def test_the_locked_commit_is_loaded_even_if_the_branch_has_a_newer_one(
    hub: EmbeddedHub, store: Store, locked: LockedModel, tmp_path: Path
) -> None:
    (tmp_path / "repos" / "model" / "config.json").write_text('{"model_type": "bert", "newer": true}')
    hub.add(tmp_path / "repos" / "model", "acme/model")
    newer = find_or_fetch_model(store, ModelRef("acme/model"), Deadline(20))
    old = obtain(store, locked)
    assert old.path.name == locked.commit != newer.path.name
    assert json.loads((old.path / "config.json").read_text()) == {"model_type": "bert"}
    fetched = [request.file for request in hub.requests if request.kind == "resolve" and request.method == "GET"]
    assert fetched.count("model.safetensors") == 1  # both have the same weights


def test_many_threads_fetch_once(hub: EmbeddedHub, store: Store, locked: LockedModel) -> None:
    barrier = threading.Barrier(6)

    def one(_: int) -> bool:
        barrier.wait(60)
        return obtain(store, locked).fetched is not None

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one, range(6))) == 1
    assert requested(hub) == [("GET", name) for name in FILES]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "longer", "missing", "missing blob", "link elsewhere"])
def test_damage_is_repaired_with_at_most_one_request(
    hub: EmbeddedHub, store: Store, locked: LockedModel, name: str, damage: str
) -> None:
    path = obtain(store, locked).path / name
    content = path.read_bytes()
    blob = Path(os.path.realpath(path))
    if damage == "flipped":
        blob.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncated":
        blob.write_bytes(content[:-1])
    elif damage == "longer":
        blob.write_bytes(content + b"x")
    elif damage == "missing":
        path.unlink()
    elif damage == "missing blob":
        blob.unlink()
    else:
        other = next(each for each in path.parent.iterdir() if each != path)
        target = other.readlink()
        path.unlink()
        path.symlink_to(target)
    hub.clear()
    assert obtain(store, locked).path.joinpath(name).read_bytes() == content
    is_link_wrong = damage in ("missing", "link elsewhere")  # its blob is still there
    assert requested(hub) == ([] if is_link_wrong else [("GET", name)])
    hub.clear()
    assert obtain(store, locked).fetched is None
    hub.assert_no_requests()


def test_a_full_check_finds_a_flipped_byte_with_an_unchanged_time(store: Store, locked: LockedModel) -> None:
    path = obtain(store, locked).path / "model.safetensors"
    blob = Path(os.path.realpath(path))
    state, content = blob.stat(), blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(blob, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert obtain(store, locked, checks=Checks(full=True)).fetched is not None
    assert path.read_bytes() == content


def test_a_damaged_file_is_set_aside_and_not_deleted(store: Store, locked: LockedModel) -> None:
    path = obtain(store, locked).path / "config.json"
    Path(os.path.realpath(path)).write_bytes(b"somebody's work")
    obtain(store, locked)
    [aside] = (store.root / ".locks/modelenv/damaged/models--acme--model").iterdir()
    assert aside.read_bytes() == b"somebody's work"


def test_a_file_added_to_the_snapshot_is_not_loaded(hub: EmbeddedHub, store: Store, locked: LockedModel) -> None:
    path = obtain(store, locked).path
    (path / "adapter_model.safetensors").write_bytes(b"other weights")
    (path / "README.md").write_text("not read by a load")
    hub.clear()
    assert sorted(each.name for each in obtain(store, locked).path.iterdir()) == sorted([*FILES, "README.md"])
    hub.assert_no_requests()


def test_damage_is_an_error_if_nothing_can_be_downloaded(hub: EmbeddedHub, store: Store, locked: LockedModel) -> None:
    path = obtain(store, locked).path
    Path(os.path.realpath(path / "config.json")).write_bytes(b"[]")
    with pytest.raises(ModelIntegrityError) as caught:
        obtain(store, locked, fetches=False)
    size = next(file.size for file in locked.files if file.path == "config.json")
    assert str(caught.value) == (
        "acme/model: its files do not match the lock: 1 changed\n"
        f"  expected: config.json with {size} bytes\n"
        f"  found: in {path}: changed config.json: expected {size} bytes, found 2 bytes\n"
        f"  what to do: fill it with `modelenv pull --to {store.root}` where it can be written and the Hub can be "
        "reached"
    )


def test_a_missing_model_is_an_error_if_nothing_can_be_downloaded(store: Store, locked: LockedModel) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        obtain(store, locked, fetches=False)
    assert f"the locked commit {locked.commit[:12]} is not in this store" in str(caught.value)
    assert str(snapshot_of(store, locked)) in caught.value.tried


def test_nothing_is_written_if_hashes_are_not_recorded(store: Store, locked: LockedModel) -> None:
    obtain(store, locked)
    shutil.rmtree(store.root / ".locks")
    obtain(store, locked, fetches=False, checks=Checks(remembers=False))
    assert not (store.root / ".locks").exists()
    obtain(store, locked, fetches=False)
    assert (store.root / ".locks").exists()


def test_a_plain_folder_that_matches_the_lock_is_used(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, locked: LockedModel, tmp_path: Path
) -> None:
    plain = store.root / "acme" / "model"
    shutil.copytree(tmp_path / "repos" / "model", plain)
    assert obtain(store, locked).path == plain
    hub.assert_no_requests()
    (plain / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert obtain(store, locked).path == snapshot_of(store, locked)
    assert json.loads((plain / "config.json").read_text()) == {"model_type": "gpt2"}


def test_a_link_out_of_the_store_is_refused(store: Store, locked: LockedModel, tmp_path: Path) -> None:
    path = obtain(store, locked).path / "config.json"
    (tmp_path / "outside.json").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "outside.json")
    with pytest.raises(UnsafeModelError, match="a link leads out of the store"):
        obtain(store, locked)


def test_a_file_that_arrives_damaged_is_fetched_once_more_and_never_published(
    hub: EmbeddedHub, store: Store, locked: LockedModel
) -> None:
    with hub.fail(flip_byte=70, file="*.safetensors", times=1):
        obtain(store, locked)
    assert requested(hub).count(("GET", "model.safetensors")) == 2
    shutil.rmtree(store.root)
    with hub.fail(flip_byte=70, file="*.safetensors"), pytest.raises(ModelIntegrityError) as caught:
        obtain(store, locked)
    assert caught.value.what == "model.safetensors arrived damaged twice"
    assert not snapshot_of(store, locked).exists()
    obtain(store, locked)


@pytest.mark.parametrize(
    "fault", [{"status": 503, "times": 2}, {"status": 429, "times": 1}, {"cut_after": 60, "times": 1}]
)
@pytest.mark.slow
def test_temporary_failures_are_retried(
    hub: EmbeddedHub, store: Store, locked: LockedModel, fault: dict[str, int]
) -> None:
    rule = hub.fail(file="model.safetensors", **fault)
    assert obtain(store, locked).fetched is not None
    assert rule.fired >= 1


@pytest.mark.slow
def test_a_slow_download_ends_at_the_deadline(hub: EmbeddedHub, store: Store, locked: LockedModel) -> None:
    with hub.fail(file="model.safetensors", bytes_per_second=20), pytest.raises(ModelLoadTimeoutError):
        obtain_locked(store, locked, Deadline(1), fetches=True, checks=Checks())


def test_a_failed_fetch_is_remembered_for_the_run(
    hub: EmbeddedHub, store: Store, locked: LockedModel, tmp_path: Path
) -> None:
    failures = FailureLog(tmp_path / "failures")
    hub.fail(status=403, file="config.json")
    for _ in range(2):
        with pytest.raises(ModelDownloadError, match="refuses access"):
            obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks(), failures=failures)
    assert requested(hub).count(("GET", "config.json")) == 1
