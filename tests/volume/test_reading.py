"""Nothing is loaded from a volume that does not match its metadata, or from an incomplete set."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.errors import (
    LockfileError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.volume.metadata import VolumeMetadata, write_metadata
from modelenv.volume.reading import check_put_there_by_hand, find_on_volume, volume_metadata

from .conftest import REF, Fill, read


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
    assert caught.value.what == f"its files do not match the lock: {what}"
    assert f"modelenv pull --to {root}" in str(caught.value)


def test_a_stale_commit_is_found(fill: Fill, first: LockedModel, second: LockedModel, root: Path) -> None:
    fill(first)
    with pytest.raises(ModelIntegrityError) as caught:
        read(root, locked=second)
    assert str(caught.value) == (
        "acme/model: the volume has a different commit than the lock\n"
        f"  expected: commit {second.commit}, as in modelenv.lock\n"
        f"  found: commit {first.commit}, as in {root}/model-metadata.yaml\n"
        f"  what to do: run `modelenv pull --to {root}` where the volume can be written"
    )


def test_a_link_in_the_path_is_refused(fill: Fill, first: LockedModel, root: Path, tmp_path: Path) -> None:
    fill(first)
    (root / "acme").rename(tmp_path / "outside")
    (root / "acme").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafeModelError, match="a link is in the path of the model's folder"):
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
            assert metadata is not None  # otherwise it would count as written by hand
            loaded += find_on_volume(root, metadata, REF, locked=None, checks=Checks()) == root / "acme/model"
        except (LockfileError, ModelIntegrityError, ModelNotFoundError):
            continue
    assert loaded < len(content) / 6  # bytes that do not matter: comments, names of facts, other commits


def test_an_alias_of_the_volume_works_without_a_project(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    assert read(root, ModelRef("m")) == root / "acme/model"


def test_a_model_that_is_not_on_the_volume(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    with pytest.raises(ModelNotFoundError) as caught:
        read(root, ModelRef("acme/other"))
    assert str(caught.value).startswith(
        f"acme/other: not on this volume\n  found: {root} has acme/model ({first.commit[:12]})\n"
    )


def test_a_model_at_another_revision_is_not_used(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(replace(first, alias="b", revision="v1"), replace(first, alias="a", revision="v2"))
    with pytest.raises(ModelNotFoundError) as caught:
        read(root)
    assert caught.value.hint == "it has the model at another revision: load it as 'a' or 'b', or use a commit"
    assert read(root, ModelRef("a")) == read(root, ModelRef("acme/model", "v1")) == root / "acme/model"


def test_metadata_that_was_written_by_hand_only_marks_a_volume(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    assert volume_metadata(root) is None
    (root / "model-metadata.yaml").write_text("models:\n  - acme/model\n")
    assert volume_metadata(root) is None
    write_metadata(root / "model-metadata.yaml", VolumeMetadata())
    assert volume_metadata(root) == VolumeMetadata(())


def test_a_set_without_metadata_is_incomplete(fill: Fill, first: LockedModel, root: Path) -> None:
    folder = root / "acme/model"
    check_put_there_by_hand(root, None, model="acme/model")  # no files of ours
    fill(first)
    (root / "model-metadata.yaml").unlink()
    (root / "acme/by-hand").mkdir()
    for found in (folder, None):
        with pytest.raises(ModelIntegrityError) as caught:
            check_put_there_by_hand(root, found, model="acme/model")
        assert str(caught.value) == (
            "acme/model: the volume is incomplete: it has no metadata from modelenv\n"
            f"  expected: {root}/model-metadata.yaml, which `modelenv pull --to` writes last\n"
            f"  found: {root}/.modelenv: a pull is running or was killed, or the metadata was removed\n"
            f"  what to do: wait for that pull, or run `modelenv pull --to {root}` where the volume can be written"
        )
    check_put_there_by_hand(root, root / "acme/by-hand", model="acme/by-hand")


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("content", [b"[]", b"\xff", b"[" * 100_000])
def test_without_a_list_of_our_folders_no_folder_counts_as_put_there_by_hand(root: Path, content: bytes) -> None:
    (root / ".modelenv").mkdir(parents=True)
    (root / ".modelenv/folders.json").write_bytes(content)
    with pytest.raises(ModelIntegrityError, match="the volume is incomplete"):
        check_put_there_by_hand(root, root / "acme/by-hand", model="acme/by-hand")
