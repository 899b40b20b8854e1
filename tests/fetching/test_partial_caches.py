"""Snapshots that modelenv did not record are compared with the Hub's listing, or checked by their files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.errors import ModelEnvError, ModelIntegrityError, ModelNotFoundError
from modelenv.fetching.failures import FailureLog
from modelenv.hub import EmbeddedHub
from modelenv.loading.look_and_mend import Obtained
from modelenv.loading.unlocked_folder import find_model, find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import MakeModel

REF = ModelRef("acme/model")
NAMES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
Fill = Callable[..., Path]


@pytest.fixture
def source(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    """The model on the Hub."""
    source = make_model()
    for name in ("generation_config.json", "tokenizer_config.json"):
        (source / name).write_text(json.dumps({"name": name}))
    hub.add(source, "acme/model")
    return source


@pytest.fixture
def fill(hub: EmbeddedHub, store: Store, source: Path) -> Fill:
    """Fetch these files, or all, into the store with another program, and return the snapshot."""

    def run(*names: str, listing: bool = False, root: Path = store.root) -> Path:
        from huggingface_hub import hf_hub_download, snapshot_download

        if listing:
            path = Path(snapshot_download("acme/model", cache_dir=root, allow_patterns=list(names) or None))
        else:
            for name in names or NAMES:
                path = Path(hf_hub_download("acme/model", name, cache_dir=root)).parent
        hub.clear()
        return path

    return run


def obtain(store: Store, **arguments: object) -> Obtained:
    return find_or_fetch_model(store, REF, Deadline(30), **arguments)  # type: ignore[arg-type]


def assert_whole(obtained: Obtained, source: Path) -> None:
    there = {path.name: path.read_bytes() for path in obtained.path.iterdir()}
    assert there == {path.name: path.read_bytes() for path in source.iterdir()}
    assert obtained.whole


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    content = path.read_bytes()
    Path(os.path.realpath(path)).write_bytes(content[: len(content) // 2])


def copy_cut(path: Path) -> None:
    """A plain file, as in a cache that was copied without its links: no name tells its hash."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


def lead_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def lose_the_blob(path: Path) -> None:
    Path(os.path.realpath(path)).unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = [remove, cut, copy_cut, lead_nowhere, lose_the_blob, become_a_folder]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("listing", [False, True])
def test_missing_files_are_fetched_and_the_next_load_makes_no_requests(
    hub: EmbeddedHub, store: Store, fill: Fill, source: Path, name: str, damage: Callable[[Path], None], listing: bool
) -> None:
    damage(fill(listing=listing) / name)
    obtained = obtain(store)
    assert_whole(obtained, source)
    assert {each.file for each in hub.requests if each.kind == "resolve"} <= {name}
    assert obtained.fetched is not None
    assert obtained.requests + obtained.fetched.requests == len(hub.requests)
    hub.clear()
    assert_whole(obtain(store), source)
    hub.assert_no_requests()


def test_a_complete_snapshot_costs_one_request_once(hub: EmbeddedHub, store: Store, fill: Fill, source: Path) -> None:
    fill()
    obtained = obtain(store)
    assert obtained == Obtained(obtained.path, requests=1)
    assert [each.kind for each in hub.requests] == ["tree"]
    hub.clear()
    assert_whole(obtain(store), source)
    hub.assert_no_requests()


def test_a_snapshot_with_only_configuration_and_weights_is_completed(
    hub: EmbeddedHub, store: Store, fill: Fill, source: Path
) -> None:
    fill("config.json", "model.safetensors")
    assert_whole(obtain(store), source)
    assert {each.file for each in hub.requests if each.kind == "resolve"} == set(NAMES[1:2] + NAMES[3:])


def test_the_commit_stays_even_if_the_hub_has_a_newer_one(
    hub: EmbeddedHub, store: Store, fill: Fill, source: Path, tmp_path: Path
) -> None:
    path = fill("config.json", "model.safetensors")
    shutil.copytree(source, tmp_path / "before")
    (source / "config.json").write_text('{"newer": true}')
    hub.add(source, "acme/model")
    obtained = obtain(store)
    assert obtained.path == path
    assert_whole(obtained, tmp_path / "before")


def test_a_snapshot_one_level_down_is_completed_where_it_is(store: Store, fill: Fill, source: Path) -> None:
    path = fill("config.json", "model.safetensors", root=store.root / "hub")
    obtained = obtain(store)
    assert obtained.path == path
    assert_whole(obtained, source)
    assert not (store.root / "models--acme--model").exists()


def test_files_for_people_can_be_missing(hub: EmbeddedHub, store: Store, fill: Fill, source: Path) -> None:
    (source / "LICENSE").write_text("for people")
    hub.add(source, "acme/model")
    fill()
    assert obtain(store).fetched is None
    assert [each.kind for each in hub.requests] == ["tree"]


def test_a_commit_that_is_gone_from_the_hub_is_checked_by_its_files(
    hub: EmbeddedHub, store: Store, fill: Fill, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = fill()
    commit = "0" * 40
    old.rename(old.with_name(commit))
    (old.parent.parent / "refs" / "main").write_text(commit)
    failures = FailureLog(tmp_path / "run")
    obtained = obtain(store, failures=failures)
    assert (obtained.path.name, obtained.whole, obtained.fetched) == (commit, False, None)
    assert (
        f"acme/model@{commit}: could not check with the Hub whether the files in the cache are complete"
        in caplog.text
    )
    hub.clear()
    assert not obtain(store, failures=failures).whole
    hub.assert_no_requests()  # the run knows already
    assert not obtain(store).whole
    assert hub.requests != []  # the next one asks again


def test_without_a_hub_a_snapshot_is_checked_by_its_files_each_time(
    hub: EmbeddedHub, store: Store, fill: Fill, source: Path
) -> None:
    fill("config.json", "model.safetensors")
    hub.stop()
    for _ in range(2):
        obtained = obtain(store)
        assert (obtained.whole, obtained.fetched) == (False, None)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_without_a_hub_an_incomplete_model_is_a_download_error(
    hub: EmbeddedHub, store: Store, fill: Fill, name: str
) -> None:
    (fill() / name).unlink()
    hub.stop()
    with pytest.raises(ModelEnvError, match="could not be fetched from"):
        obtain(store)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [remove, lead_nowhere, copy_cut])
def test_in_a_volume_a_listing_says_what_is_missing(
    hub: EmbeddedHub, store: Store, fill: Fill, name: str, damage: Callable[[Path], None]
) -> None:
    path = fill(listing=True)
    damage(path / name)
    with environment({"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelIntegrityError) as caught:
        find_model(store, REF)
    assert str(caught.value) == (
        "acme/model: 1 file missing or incomplete\n"
        f"  expected: {name}, with the size that the Hub reported\n"
        f"  found: missing, or with another size, in {path}\n"
        "  what to do: load it once where the store is writable and the Hub can be reached: the missing files "
        "are then downloaded"
    )
    hub.assert_no_requests()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [remove, copy_cut])
def test_offline_a_listing_says_what_is_missing(
    hub: EmbeddedHub, store: Store, fill: Fill, name: str, damage: Callable[[Path], None]
) -> None:
    path = fill(listing=True)
    damage(path / name)
    with environment({"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelIntegrityError) as caught:
        obtain(store)
    assert str(caught.value) == (
        "acme/model: the model in the store is incomplete, and offline mode is on, so the rest was not "
        "downloaded\n"
        f"  found: in {path}, missing or incomplete: {name}\n"
        "  what to do: unset HF_HUB_OFFLINE, so that the rest is downloaded, or copy the whole folder of the model, "
        "with the blobs that its links lead to"
    )
    hub.assert_no_requests()


def test_offline_a_snapshot_without_a_listing_is_not_known_to_be_complete(
    hub: EmbeddedHub, store: Store, fill: Fill, source: Path
) -> None:
    fill()
    with environment({"HF_HUB_OFFLINE": "1"}):
        assert not obtain(store).whole
        found = store.find(REF)
        assert found is not None
        assert (found.checked, found.whole) == (True, False)
        assert not obtain(store).whole
        hub.assert_no_requests()
    assert_whole(obtain(store), source)  # once it can be asked, the Hub is
    assert [each.kind for each in hub.requests] == ["tree"]


def test_a_snapshot_that_was_filled_for_a_lock_is_compared_before_other_loads(
    hub: EmbeddedHub, store: Store, source: Path, fill: Fill, tmp_path: Path
) -> None:
    path = fill("config.json", "model.safetensors")
    found = store.find(REF)
    assert found is not None
    store.record(REF, found, whole=False)
    obtained = obtain(store)
    assert obtained.path == path
    assert_whole(obtained, source)


def test_a_record_of_the_same_files_stays_whole(store: Store, fill: Fill) -> None:
    path = fill()
    found = store.find(REF)
    assert found is not None
    assert store.record(REF, found).whole
    assert store.record(REF, found, whole=False).whole
    (path / "tokenizer.json").unlink()
    assert not store.record(REF, found, whole=False).whole


def test_weights_that_the_configuration_names_are_fetched(hub: EmbeddedHub, store: Store, source: Path) -> None:
    (source / "config.json").write_text('{"transformers_weights": "x.safetensors.index.json"}')
    (source / "parts").mkdir()
    for name in ("x-1.safetensors", "parts/x-2.safetensors", "unused.safetensors"):
        shutil.copy(source / "model.safetensors", source / name)
    index = {"weight_map": {"a": "x-1.safetensors", "b": "parts/x-2.safetensors"}}
    (source / "x.safetensors.index.json").write_text(json.dumps(index))
    hub.add(source, "acme/model")
    path = obtain(store).path
    names = {str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()}
    assert names == {*NAMES, "x.safetensors.index.json", "x-1.safetensors", "parts/x-2.safetensors"}
    hub.clear()
    assert obtain(store).whole
    hub.assert_no_requests()


def test_a_snapshot_without_a_commit_is_ignored(store: Store, fill: Fill) -> None:
    path = fill()
    path.rename(path.with_name("by-hand"))
    (path.parent.parent / "refs" / "main").write_text("by-hand")
    assert obtain(store).path.name != "by-hand"


def test_a_plain_folder_makes_no_requests_and_is_not_known_to_be_complete(
    hub: EmbeddedHub, store: Store, source: Path
) -> None:
    shutil.copytree(source, store.root / "acme" / "model")
    assert obtain(store) == find_model(store, REF) == Obtained(store.root / "acme" / "model", whole=False)
    hub.assert_no_requests()


def test_an_adapter_is_refused_before_it_is_fetched(hub: EmbeddedHub, store: Store, source: Path) -> None:
    (source / "config.json").rename(source / "adapter_config.json")
    (source / "model.safetensors").rename(source / "adapter_model.safetensors")
    hub.add(source, "acme/model")
    with pytest.raises(ModelIntegrityError, match="this is an adapter"):
        obtain(store)
    assert [each.kind for each in hub.requests] == ["info"]


def test_a_store_that_was_never_filled_is_not_found(store: Store) -> None:
    with environment({"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelNotFoundError):
        obtain(store)
