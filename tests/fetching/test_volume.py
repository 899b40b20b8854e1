"""A volume: filled whole or not at all, read by anybody, and never a mixture of two sets."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import (
    LockfileError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    UnsafeModelError,
)
from modelenv.hub import EmbeddedHub
from modelenv.locked_finding import Checks, obtain_locked
from modelenv.lockfile import Lockfile
from modelenv.locks.locked import LockedModel
from modelenv.metadata import VolumeMetadata, VolumeModel, write_metadata
from modelenv.references import ModelRef
from modelenv.store import Store
from modelenv.volume.filling import Filled, Volume
from modelenv.volume.reading import find_on_volume, volume_metadata

from .conftest import Lock, MakeModel

REF = ModelRef("acme/model")
Fill = Callable[..., Filled]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "volume"


@pytest.fixture
def first(hub: EmbeddedHub, make_model: MakeModel, lock: Lock) -> LockedModel:
    hub.add(make_model(), "acme/model")
    return lock()


@pytest.fixture
def second(hub: EmbeddedHub, first: LockedModel, lock: Lock, tmp_path: Path) -> LockedModel:
    """The same model at a newer commit."""
    source = tmp_path / "repos" / "model"
    (source / "config.json").write_text('{"model_type": "bert", "newer": true}')
    hub.add(source, "acme/model")
    newer = lock()
    assert newer.commit != first.commit
    return newer


@pytest.fixture
def fill(root: Path, store: Store) -> Fill:
    def run(*models: LockedModel) -> Filled:
        def obtain(model: LockedModel) -> Path:
            return obtain_locked(store, model, Deadline(20), fetches=True, checks=Checks()).path

        return Volume(root).fill(Lockfile(models), obtain, Deadline(20))

    return run


def read(root: Path, ref: ModelRef = REF, locked: LockedModel | None = None) -> Path:
    metadata = volume_metadata(root)
    assert metadata is not None
    return find_on_volume(root, metadata, ref, locked=locked, checks=Checks())


def test_a_fresh_volume_has_plain_files_for_anybody(fill: Fill, first: LockedModel, root: Path) -> None:
    before = os.umask(0o077)
    try:
        filled = fill(first)
    finally:
        os.umask(before)
    assert (filled.copied, filled.removed, filled.changed) == (("m",), (), True)
    assert read(root) == root / "acme/model"
    visible = [root, *(path for path in root.rglob("*") if ".modelenv" not in path.parts)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in visible if path.is_dir()} == {0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in visible if path.is_file()} == {0o644}
    assert not any(path.is_symlink() for path in root.rglob("*"))


def test_a_second_pull_copies_and_writes_nothing(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".modelenv" not in path.parts}
    filled = fill(first)
    assert (filled.copied, filled.removed, filled.changed) == ((), (), False)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".modelenv" not in path.parts} == before


def test_an_update_shows_the_old_set_or_the_new(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    held = volume_metadata(root)  # a reader that began before the update
    assert held is not None
    filled = fill(second)
    assert filled.removed == ()
    old = find_on_volume(root, held, REF, locked=None, checks=Checks())
    assert (old, read(root)) == (root / "acme/model", root / f"acme/model@{second.commit[:12]}")
    assert fill(second).removed == ("acme/model",)  # nobody can have read the old metadata since the pull before
    assert not old.exists()
    assert read(root).name == f"model@{second.commit[:12]}"


def test_prune_removes_what_the_metadata_has_ceased_to_name(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    fill(second)
    (root / "somebody").mkdir()
    assert Volume(root).prune(Deadline(5), dry_run=True) == ("acme/model",)
    assert (root / "acme/model").exists()
    assert Volume(root).prune(Deadline(5)) == ("acme/model",)
    assert (root / "somebody").exists()
    assert read(root)


def test_going_back_uses_what_is_still_there(fill: Fill, first: LockedModel, second: LockedModel, root: Path) -> None:
    fill(first)
    fill(second)
    assert fill(first).copied == ()
    assert read(root) == root / "acme/model"


def test_a_killed_pull_leaves_the_old_set_and_the_next_one_mends(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path, store: Store
) -> None:
    fill(first)

    class KilledError(BaseException):
        pass

    def killed(model: LockedModel) -> Path:
        raise KilledError

    with pytest.raises(KilledError):
        Volume(root).fill(Lockfile((second,)), killed, Deadline(5))
    (root / ".modelenv/staging/half").mkdir(parents=True)  # what SIGKILL would have left
    (root / ".modelenv/staging/half/config.json").write_text("{")
    assert read(root) == root / "acme/model"
    fill(second)
    assert not (root / ".modelenv/staging/half").exists()
    assert read(root, locked=second)


def test_a_damaged_folder_is_never_changed_but_replaced(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    (root / "acme/model/config.json").write_text("[]")
    with pytest.raises(ModelIntegrityError):
        read(root)
    assert fill(first).copied == ("m",)
    assert read(root) == root / f"acme/model@{first.commit[:12]}"
    assert fill(first).removed == ("acme/model",)


def test_a_damaged_metadata_is_written_anew(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    path = root / "model-metadata.yaml"
    path.write_text(path.read_text().replace("commit:", "komit:"))
    with pytest.raises(LockfileError, match=r"model-metadata\.yaml:\d+: "):
        read(root)
    assert fill(first).changed
    assert read(root) == root / "acme/model"


def test_what_others_laid_there_is_left_alone(fill: Fill, first: LockedModel, root: Path) -> None:
    (root / "acme/model").mkdir(parents=True)
    (root / "acme/model/config.json").write_text("of somebody")
    fill(first)
    assert read(root).name == f"model@{first.commit[:12]}"
    assert (root / "acme/model/config.json").read_text() == "of somebody"


def test_aliases_of_one_set_share_a_folder_and_other_sets_do_not(fill: Fill, first: LockedModel, root: Path) -> None:
    fewer = replace(first, alias="fewer", files=first.files[:2], patterns=("config.json", "model.safetensors"))
    filled = fill(first, replace(first, alias="same"), fewer)
    folders = {model.locked.alias: model.folder for model in filled.metadata.models}
    assert folders["m"] == folders["same"] != folders["fewer"]
    assert filled.copied == ("fewer", "same") or filled.copied == ("fewer", "m")


def test_a_model_without_organisation_is_not_laid_around_anothers(
    fill: Fill, hub: EmbeddedHub, make_model: MakeModel, lock: Lock, first: LockedModel, root: Path
) -> None:
    hub.add(make_model("alone"), "acme")
    alone = lock("acme", alias="alone")
    fill(first, alone)
    assert read(root) == root / "acme/model"
    assert read(root, ModelRef("acme")) == root / f"acme@{alone.commit[:12]}"


def test_two_pulls_at_once_wait_for_each_other(first: LockedModel, root: Path) -> None:
    from filelock import FileLock

    (root / ".modelenv").mkdir(parents=True)
    with FileLock(root / ".modelenv/lock"), pytest.raises(ModelLoadTimeoutError, match="another process that fills"):
        Volume(root).fill(Lockfile((first,)), lambda model: root, Deadline(0.2))


def test_a_source_that_is_not_as_locked_is_not_copied(first: LockedModel, root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tmp_path / "repos/model", source)
    content = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelIntegrityError, match="a file is not as locked, and was not copied"):
        Volume(root).fill(Lockfile((first,)), lambda model: source, Deadline(5))
    assert not (root / "model-metadata.yaml").exists()
    assert not list((root / ".modelenv/staging").glob("*"))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("flipped", "1 changed"),
        ("truncated", "1 changed"),
        ("missing", "1 missing"),
        ("added", "1 extra"),
        ("link", "1 unreadable"),
        ("all gone", "3 missing"),
    ],
)
def test_nothing_is_loaded_from_a_damaged_volume(
    fill: Fill, first: LockedModel, root: Path, damage: str, what: str
) -> None:
    fill(first)
    path = root / "acme/model/model.safetensors"
    content = path.read_bytes()
    match damage:
        case "flipped":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "truncated":
            path.write_bytes(content[:-1])
        case "missing":
            path.unlink()
        case "added":
            (root / "acme/model/README.md").write_text("not locked")
        case "link":
            path.rename(root / "elsewhere")
            path.symlink_to(root / "elsewhere")
        case "all gone":
            shutil.rmtree(root / "acme/model")
    with pytest.raises(ModelIntegrityError) as caught:
        read(root)
    assert caught.value.what == f"not as locked: {what}"
    assert f"modelenv pull --to {root}" in str(caught.value)


def test_a_stale_commit_is_found(fill: Fill, first: LockedModel, second: LockedModel, root: Path) -> None:
    fill(first)
    with pytest.raises(ModelIntegrityError) as caught:
        read(root, locked=second)
    assert str(caught.value) == (
        "acme/model: the volume holds another commit than the lock names\n"
        f"  expected: commit {second.commit}, as in modelenv.lock\n"
        f"  found: commit {first.commit}, as in {root}/model-metadata.yaml\n"
        f"  what to do: run `modelenv pull --to {root}` where the volume may be written"
    )


def test_a_link_on_the_way_is_refused(fill: Fill, first: LockedModel, root: Path, tmp_path: Path) -> None:
    fill(first)
    (root / "acme").rename(tmp_path / "outside")
    (root / "acme").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafeModelError, match="a link is on the way to the model's folder"):
        read(root)


@pytest.mark.parametrize("folder", ["/etc", "../outside", "acme/../../outside", "acme//model", "./model", "a\\b"])
def test_a_metadata_that_names_files_outside_is_refused(
    fill: Fill, first: LockedModel, root: Path, folder: str
) -> None:
    fill(first)
    path = root / "model-metadata.yaml"
    text = path.read_text()
    path.write_text(text.replace('folder: "acme/model"', f"folder: {json.dumps(folder)}"))
    with pytest.raises(LockfileError, match=r"model-metadata\.yaml:7: a path must"):
        read(root)
    path.write_text(text.replace('path: "config.json"', f"path: {json.dumps(folder)}"))
    with pytest.raises(LockfileError, match=r"model-metadata\.yaml:\d+: a path must"):
        read(root)


def test_every_flipped_byte_of_the_metadata_is_found_or_changes_nothing_that_is_loaded(
    fill: Fill, first: LockedModel, root: Path
) -> None:
    fill(first)
    path = root / "model-metadata.yaml"
    content = path.read_bytes()
    loaded = 0
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            metadata = volume_metadata(root)
            assert metadata is not None  # else it would be taken for one that was made by hand
            loaded += find_on_volume(root, metadata, REF, locked=None, checks=Checks()) == root / "acme/model"
        except (LockfileError, ModelIntegrityError, ModelNotFoundError):
            continue
    assert loaded < len(content) / 6  # what may be flipped without harm: comments, names of facts, other commits


def test_an_alias_of_the_volume_serves_without_a_project(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    assert read(root, ModelRef("m")) == root / "acme/model"


def test_a_model_that_is_not_on_the_volume(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    with pytest.raises(ModelNotFoundError) as caught:
        read(root, ModelRef("acme/other"))
    assert str(caught.value).startswith(
        f"acme/other: not on this volume\n  found: {root} holds acme/model ({first.commit[:12]})\n"
    )


def test_a_metadata_made_by_hand_marks_a_volume_and_says_nothing(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    assert volume_metadata(root) is None
    (root / "model-metadata.yaml").write_text("models:\n  - acme/model\n")
    assert volume_metadata(root) is None
    write_metadata(root / "model-metadata.yaml", VolumeMetadata())
    assert volume_metadata(root) == VolumeMetadata(())


def test_one_folder_for_two_models_is_refused(first: LockedModel) -> None:
    from modelenv.locks.locked import LockedValueError

    with pytest.raises(LockedValueError):
        VolumeMetadata((VolumeModel(first, "a"), VolumeModel(replace(first, alias="n", repo="acme/other"), "a")))
