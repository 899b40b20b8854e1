"""A store finds a model in every layout, keeps organisations apart, and locks and records what changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError, ModelIntegrityError, ModelLoadTimeoutError
from modelenv.files.layouts import Layout
from modelenv.references import ModelRef
from modelenv.store.store import FoundModel, Store

COMMIT = "a" * 40
OTHER = "b" * 40


def snapshot(root: Path, repo: str, commit: str, *, ref: str | None = "main", text: str = "{}") -> Path:
    folder = root / ("models--" + repo.replace("/", "--"))
    path = folder / "snapshots" / commit
    path.mkdir(parents=True)
    (path / "config.json").write_text(text)
    if ref is not None:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return path


def plain(root: Path, name: str, text: str = "{}") -> Path:
    path = root / name
    path.mkdir(parents=True)
    (path / "config.json").write_text(text)
    return path


def find(store: Store, name: str, revision: str | None = None) -> FoundModel | None:
    return store.find(ModelRef.parse(name, revision))


def path_of(store: Store, name: str, revision: str | None = None) -> Path:
    found = find(store, name, revision)
    assert found is not None
    return found.path


def test_an_empty_store(store: Store) -> None:
    assert find(store, "acme/model") is None
    assert not store.root.exists()


def test_the_cache_layout_is_found_by_branch_tag_and_commit(store: Store) -> None:
    first = snapshot(store.root, "acme/model", COMMIT)
    second = snapshot(store.root, "acme/model", OTHER, ref="v2")
    assert find(store, "acme/model") == FoundModel(first, Layout.HUB_CACHE, COMMIT)
    assert path_of(store, "acme/model", "v2") == second
    assert path_of(store, "acme/model", OTHER) == second
    assert find(store, "acme/model", "v3") is None
    assert find(store, "acme/model", "c" * 40) is None


def test_a_folder_like_hf_home_is_found(store: Store) -> None:
    assert path_of(store, "acme/model") if (snapshot(store.root / "hub", "acme/model", COMMIT)) else False


def test_one_snapshot_copied_without_refs_is_found_two_are_not(store: Store) -> None:
    only = snapshot(store.root, "acme/model", COMMIT, ref=None)
    assert path_of(store, "acme/model") == only
    snapshot(store.root, "acme/model", OTHER, ref=None)
    assert find(store, "acme/model") is None


def test_a_ref_to_a_snapshot_that_is_gone_finds_nothing(store: Store) -> None:
    shutil.rmtree(snapshot(store.root, "acme/model", COMMIT))
    assert find(store, "acme/model") is None


def test_plain_layouts(store: Store) -> None:
    under_organisation = plain(store.root, "acme/model")
    assert find(store, "acme/model") == FoundModel(under_organisation, Layout.ORGANISATION)
    alone = plain(store.root, "alone")
    assert find(store, "alone") == FoundModel(alone, Layout.PLAIN)
    assert find(store, "acme/alone") == FoundModel(alone, Layout.PLAIN)


def test_an_organisations_folder_is_not_a_model(store: Store) -> None:
    plain(store.root, "acme/model")
    assert find(store, "acme") is None


def test_two_organisations_models_of_one_name_stay_apart(store: Store) -> None:
    first, second = plain(store.root, "acme/model", '{"a": 1}'), plain(store.root, "zeta/model", '{"z": 1}')
    assert path_of(store, "acme/model") == first
    assert path_of(store, "zeta/model") == second
    assert find(store, "beta/model") is None


def test_a_plain_folder_serves_one_organisation_only(store: Store) -> None:
    shared = plain(store.root, "model")
    assert path_of(store, "acme/model") == shared
    assert path_of(store, "acme/model") == shared
    with pytest.raises(ModelIntegrityError) as caught:
        find(store, "zeta/model")
    assert str(caught.value) == (
        "zeta/model: the folder with this name contains another organisation's model\n"
        f"  found: {shared} contains acme/model\n"
        f"  what to do: put each model into a folder of its own: {store.root}/zeta/model"
    )


def test_the_owner_in_a_plain_folders_configuration_is_used(store: Store) -> None:
    shared = plain(store.root, "model", '{"_name_or_path": "zeta/model"}')
    with pytest.raises(ModelIntegrityError, match="contains zeta/model"):
        find(store, "acme/model")
    assert path_of(store, "zeta/model") == shared


def test_a_base_model_in_the_configuration_is_not_the_owner(store: Store) -> None:
    shared = plain(store.root, "model", '{"_name_or_path": "google/bert-base"}')
    assert path_of(store, "acme/model") == shared


def test_places_lists_every_folder_that_is_searched(store: Store) -> None:
    root = store.root
    assert store.places(ModelRef.parse("acme/model")) == (
        f"{root}/models--acme--model/snapshots/<main>",
        f"{root}/hub/models--acme--model/snapshots/<main>",
        f"{root}/acme/model",
        f"{root}/model",
    )
    assert store.places(ModelRef.parse("model", COMMIT))[0] == f"{root}/models--model/snapshots/{COMMIT}"


def test_a_record_holds_until_a_file_changes(store: Store) -> None:
    path = snapshot(store.root, "acme/model", COMMIT)
    ref = ModelRef.parse("acme/model")
    found = store.find(ref)
    assert found is not None
    assert not found.checked
    assert store.record(ref, found).checked
    again = store.find(ref)
    assert again is not None
    assert again.checked
    (path / "config.json").write_text('{"changed": true}')
    changed = store.find(ref)
    assert changed is not None
    assert not changed.checked


@pytest.mark.parametrize("damage", ["", "not json", '{"files": 3}', "[]"])
def test_a_damaged_record_only_costs_another_check(store: Store, damage: str) -> None:
    snapshot(store.root, "acme/model", COMMIT)
    ref = ModelRef.parse("acme/model")
    found = store.find(ref)
    assert found is not None
    store.record(ref, found)
    record = next((store.root / ".locks/modelenv").rglob("*.json"))
    record.write_text(damage)
    again = store.find(ref)
    assert again is not None
    assert not again.checked


def test_the_lock_excludes_other_processes_and_is_released_when_its_process_dies(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelenv.store.model_lock._FIRST_NOTICE", 0.2)
    holder = (
        "import sys; from pathlib import Path\n"
        "from modelenv.store.store import Store; from modelenv.references import ModelRef\n"
        "from modelenv.deadlines import Deadline\n"
        "with Store(Path(sys.argv[1])).lock(ModelRef('acme/model'), Deadline(5)):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holder, str(store.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ModelLoadTimeoutError) as caught, store.lock(ModelRef("acme/model"), Deadline(0.5)):
            pytest.fail("two processes held the lock")
        assert process.poll() is None  # the wait ended by itself, with the lock still held
        assert "still waiting for another process to fetch it (lock" in str(caught.value)
        assert "Another process is fetching acme/model; waiting for it at most" in caplog.text
        with store.lock(ModelRef("acme/other"), Deadline(1)):
            pass
        process.kill()
        with store.lock(ModelRef("acme/model"), Deadline(5)):
            pass
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_a_private_store_is_for_this_user_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "mine" / "models", private=True)
    (tmp_path / "mine").mkdir(mode=0o755)
    with store.lock(ModelRef("acme/model"), Deadline(1)):
        pass
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
    assert store.root.stat().st_mode & 0o777 == 0o700


def test_a_link_instead_of_the_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    store = Store(tmp_path / "mine" / "models", private=True)
    with (
        pytest.raises(ConfigurationError, match="belongs to another user"),
        store.lock(ModelRef("acme/model"), Deadline(1)),
    ):
        pytest.fail("the lock was taken")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    os.chown(tmp_path / "mine", 65534, 65534)
    store = Store(tmp_path / "mine" / "models", private=True)
    with pytest.raises(ConfigurationError, match="of user 65534"), store.lock(ModelRef("a/b"), Deadline(1)):
        pytest.fail("the lock was taken")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("level", ["", "models"])
def test_nothing_is_found_in_another_users_private_folder(tmp_path: Path, level: str) -> None:
    store = Store(tmp_path / "mine" / "models", private=True)
    assert find(store, "acme/model") is None
    store.root.mkdir(parents=True)
    theirs = tmp_path / "mine" / level
    os.chown(theirs, 65534, 65534)
    with pytest.raises(ConfigurationError) as caught:
        find(store, "acme/model")
    assert str(caught.value) == (
        "the private download folder belongs to another user\n"
        f"  expected: a folder of user {os.getuid()}\n"
        f"  found: {theirs}, of user 65534\n"
        "  what to do: remove it, or set MODEL_CACHE_DIR to a folder of your own"
    )


def test_a_file_instead_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    store = Store(tmp_path / "store")
    assert find(store, "acme/model") is None
    with pytest.raises(ConfigurationError) as caught, store.lock(ModelRef("acme/model"), Deadline(1)):
        pytest.fail("the lock was taken")
    assert "acme/model: models cannot be written to this folder" in str(caught.value)
    assert "set MODEL_CACHE_DIR" in str(caught.value)


def test_the_store_is_marked_as_a_cache(store: Store) -> None:
    with store.lock(ModelRef("acme/model"), Deadline(1)):
        pass
    assert (store.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
