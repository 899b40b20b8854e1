"""A volume with the layout `hub` is a Hugging Face cache of plain files, and as safe as a plain volume."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError, ModelIntegrityError, NoSpaceError, UnsafeModelError
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.volume.filling import Filled, Volume
from modelenv.volume.hub_cache import separate_snapshots, wrong_references
from modelenv.volume.layout import VolumeLayout, layout_of
from modelenv.volume.metadata import VolumeMetadata
from modelenv.volume.reading import check_put_there_by_hand, find_on_volume, volume_metadata
from modelenv.volume.sharing import Others

from .conftest import REF, Fill, Lock, MakeModel, read

HOME = "models--acme--model"
HUB, PLAIN = VolumeLayout.HUB, VolumeLayout.PLAIN


def snapshot(model: LockedModel) -> str:
    return f"models--{model.repo.replace('/', '--')}/snapshots/{model.commit}"


def metadata_on(root: Path) -> VolumeMetadata:
    metadata = volume_metadata(root)
    assert metadata is not None
    return metadata


def reference(root: Path, name: str = "main", home: str = HOME) -> str:
    return (root / home / "refs" / name).read_text()


@pytest.fixture
def first(hub: EmbeddedHub, make_model: MakeModel, lock: Lock) -> LockedModel:
    """A locked model at its first commit, with two files that a load does not need."""
    folder = make_model()
    (folder / "vocab.txt").write_text("[UNK]")
    hub.add(folder, "acme/model")
    return lock()


def without(model: LockedModel, path: str, **changes: str) -> LockedModel:
    """The same commit, locked without one of its files."""
    files = tuple(file for file in model.files if file.path != path)
    return replace(model, files=files, patterns=("as declared",), **changes)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_new_volume_has_snapshots_references_and_no_links(fill: Fill, first: LockedModel, root: Path) -> None:
    before = os.umask(0o077)
    try:
        filled = fill(first, layout=HUB)
    finally:
        os.umask(before)
    assert (filled.copied, filled.removed, filled.changed) == (("m",), (), True)
    assert [model.folder for model in filled.metadata.models] == [snapshot(first)]
    assert read(root) == root / snapshot(first)
    assert reference(root) == first.commit
    visible = [root, *(path for path in root.rglob("*") if ".modelenv" not in path.parts)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in visible if path.is_dir()} == {0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in visible if path.is_file()} == {0o644}
    assert not any(path.is_symlink() for path in root.rglob("*"))
    assert sorted(path.name for path in root.iterdir()) == [".modelenv", "model-metadata.yaml", HOME]


def test_a_second_pull_keeps_the_layout_and_writes_nothing(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first, layout=HUB)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".modelenv" not in path.parts}
    assert not fill(first).changed
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".modelenv" not in path.parts} == before


def test_an_update_switches_the_reference_and_keeps_the_previous_snapshot(
    fill: Fill, first: LockedModel, second: LockedModel, third: LockedModel, root: Path
) -> None:
    fill(first, layout=HUB)
    held = metadata_on(root)
    assert fill(second).removed == ()
    assert (read(root, locked=second), reference(root)) == (root / snapshot(second), second.commit)
    assert find_on_volume(root, held, REF, locked=None, checks=Checks()) == root / snapshot(first)
    assert fill(third).removed == (snapshot(first),)
    assert Volume(root).prune(Deadline(5)) == (snapshot(second),)
    assert reference(root) == third.commit


def test_each_declared_revision_has_a_reference_and_a_commit_needs_none(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    tagged = replace(first, alias="tagged", revision="release/v1")
    pinned = replace(first, alias="pinned", revision=first.commit)
    fill(second, tagged, pinned, layout=HUB)
    assert names(root / HOME / "refs") == ["main", "release/v1"]
    assert (reference(root), reference(root, "release/v1")) == (second.commit, first.commit)
    assert sorted(path.name for path in (root / HOME / "snapshots").iterdir()) == sorted(
        [first.commit, second.commit]
    )
    fill(second, others=Others.REPLACED)
    assert Volume(root).prune(Deadline(5), dry_run=True) == (f"{HOME}/refs/release/v1", snapshot(first))
    assert Volume(root).prune(Deadline(5)) == (f"{HOME}/refs/release/v1", snapshot(first))
    assert names(root / HOME / "refs") == ["main"]


def test_a_model_locked_at_its_branch_main_has_that_reference(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(replace(first, revision="main"), layout=HUB)
    assert reference(root) == first.commit


def test_two_commits_without_a_revision_share_the_reference_of_a_load_by_name(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(replace(second, alias="z"), layout=HUB)
    fill(first, others=Others.ADDED_TO)
    assert read(root) == root / snapshot(first)
    assert reference(root) == first.commit
    assert read(root, locked=second) == root / snapshot(second)


def test_a_model_without_organisation(
    fill: Fill, hub: EmbeddedHub, make_model: MakeModel, lock: Lock, first: LockedModel, root: Path
) -> None:
    hub.add(make_model("alone"), "acme")
    alone = lock("acme", alias="alone")
    fill(first, alone, layout=HUB)
    assert read(root, ModelRef("acme")) == root / f"models--acme/snapshots/{alone.commit}"
    assert reference(root, home="models--acme") == alone.commit
    assert read(root) == root / snapshot(first)


@pytest.mark.parametrize(("old", "new"), [(PLAIN, HUB), (HUB, PLAIN)])
def test_another_layout_moves_the_models_over_without_fetching_them(
    fill: Fill, first: LockedModel, root: Path, old: VolumeLayout, new: VolumeLayout
) -> None:
    fill(first, layout=old)
    held = metadata_on(root)

    def not_needed(model: LockedModel) -> Path:
        raise AssertionError(model)

    filled = Volume(root).fill(Lockfile((first,)), not_needed, Deadline(20), layout=new)
    assert (filled.copied, filled.removed, filled.changed, layout_of(metadata_on(root))) == (("m",), (), True, new)
    assert find_on_volume(root, held, REF, locked=first, checks=Checks()) != read(root, locked=first)
    assert not fill(first).changed
    removed = Volume(root).prune(Deadline(5))
    assert removed == (("acme/model",) if new is HUB else (f"{HOME}/refs/main", snapshot(first)))
    assert read(root)


def test_a_damaged_folder_is_not_the_source_of_another_layout(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    (root / "acme/model/config.json").write_text("{}")
    fill(first, layout=HUB)
    assert read(root) == root / snapshot(first)


def test_models_of_other_locks_keep_their_snapshots(
    fill: Fill, hub: EmbeddedHub, make_model: MakeModel, lock: Lock, first: LockedModel, root: Path
) -> None:
    hub.add(make_model("other", other=True), "acme/other")
    other = lock("acme/other", alias="theirs")
    fill(first, layout=HUB)
    with pytest.raises(ConfigurationError, match="models that this lock does not name"):
        fill(other)
    fill(other, others=Others.ADDED_TO)
    assert (reference(root), reference(root, home="models--acme--other")) == (first.commit, other.commit)
    assert Volume(root).prune(Deadline(5)) == ()
    fill(other, others=Others.REPLACED)
    assert Volume(root).prune(Deadline(5)) == (f"{HOME}/refs/main", snapshot(first))


class Watching:
    """Fills the volume, and checks before each rename and write that the metadata names only what loads."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.seen: list[str] = []
        real = Path.replace

        def replaced(path: Path, target: Path) -> Path:
            self.look()
            done = real(path, target)
            self.look()
            return done

        monkeypatch.setattr(Path, "replace", replaced)

    def look(self) -> None:
        metadata = volume_metadata(self.root)
        for model in () if metadata is None else metadata.models:
            path = find_on_volume(
                self.root, VolumeMetadata((model,)), ModelRef(model.locked.alias), locked=None, checks=Checks()
            )
            self.seen += [path.relative_to(self.root).as_posix()]


@pytest.mark.slow
@pytest.mark.parametrize("swap", [False, True])
def test_the_same_commit_with_other_files_is_never_seen_half(
    fill: Fill, first: LockedModel, root: Path, swap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = without(first, "vocab.txt")
    new = without(first, "tokenizer.json") if swap else first
    fill(old, layout=HUB)
    assert read(root) == root / snapshot(first)
    watching = Watching(root, monkeypatch)
    fill(new)
    assert set(names(root / snapshot(first))) == {file.path for file in (*old.files, *new.files)}
    assert names(read(root, locked=new)) == [file.path for file in new.files]
    exact = f"{HOME}/sets/{first.commit[:12]}"
    assert set(watching.seen) == {snapshot(first), exact}
    assert read(root) == root / (exact if swap else snapshot(first))
    assert not fill(new).changed
    assert Volume(root).prune(Deadline(5)) == (() if swap else (exact,))
    assert reference(root) == first.commit


def test_two_sets_of_one_commit_each_load_exactly_and_share_the_snapshot(
    fill: Fill, first: LockedModel, root: Path
) -> None:
    both = (without(first, "vocab.txt"), without(first, "tokenizer.json", alias="w"))
    fill(*both, layout=HUB)
    assert names(root / snapshot(first)) == [file.path for file in first.files]
    folders = {model.locked.alias: model.folder for model in metadata_on(root).models}
    assert sorted(folders.values()) == [f"{HOME}/sets/{first.commit[:12]}", f"{HOME}/sets/{first.commit[:12]}-2"]
    for model in both:
        assert names(read(root, ModelRef(model.alias))) == [file.path for file in model.files]
    inodes = {
        path.stat().st_ino for path in (root / HOME).rglob("*") if path.is_file() and path.parent.name != "refs"
    }
    assert len(inodes) == 4 + 2  # the third name of a file takes no space: the files are not copied
    assert separate_snapshots(metadata_on(root))
    assert Volume(root).prune(Deadline(5)) == ()
    assert not fill(*both).changed


def test_a_smaller_set_keeps_the_other_files_for_programs_that_use_them(
    fill: Fill, first: LockedModel, root: Path
) -> None:
    fill(first, layout=HUB)
    smaller = without(first, "vocab.txt")
    fill(smaller)
    assert names(read(root)) == [file.path for file in smaller.files]
    assert names(root / snapshot(first)) == [file.path for file in first.files]
    assert Volume(root).prune(Deadline(5)) == ()
    assert fill(first).changed
    assert read(root) == root / snapshot(first)


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "model.safetensors"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "tokenizer.json").rename(folder / "of-somebody.json"),
    ],
    ids=["a byte", "a file missing", "a file renamed"],
)
def test_a_damaged_snapshot_is_mended(
    fill: Fill, first: LockedModel, root: Path, damage: Callable[[Path], object]
) -> None:
    fill(first, layout=HUB)
    folder = root / snapshot(first)
    damage(folder)
    with pytest.raises(ModelIntegrityError):
        read(root)
    assert fill(first).copied == ("m",)
    assert read(root)
    assert {name for name in names(folder) if "somebody" not in name} == {file.path for file in first.files}
    fresh = {path: path.read_bytes() for path in (read(root) / file.path for file in first.files)}
    assert all((folder / path.name).read_bytes() == content for path, content in fresh.items())
    assert not fill(first).changed


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("0" * 40)])
def test_a_wrong_reference_is_found_and_written_again(
    fill: Fill, first: LockedModel, root: Path, change: Callable[[Path], object]
) -> None:
    fill(first, layout=HUB)
    change(root / HOME / "refs/main")
    [(wrong, _)] = wrong_references(root, metadata_on(root))
    assert (wrong.name, wrong.model.commit) == (f"{HOME}/refs/main", first.commit)
    assert not fill(first).changed
    assert list(wrong_references(root, metadata_on(root))) == []
    assert reference(root) == first.commit


def test_a_reference_that_another_program_moved_is_not_removed(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(replace(first, revision="v1"), layout=HUB)
    fill(second)
    (root / HOME / "refs/v1").write_text("1" * 40)
    assert Volume(root).prune(Deadline(5)) == (snapshot(first),)
    assert reference(root, "v1") == "1" * 40


def test_the_cache_of_another_program_is_never_changed(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    theirs = root / HOME / "snapshots" / ("9" * 40)
    theirs.mkdir(parents=True)
    (root / HOME / "blobs").mkdir()
    (root / HOME / "blobs/9").write_text("{}")
    (theirs / "vocab.txt").symlink_to("../../blobs/9")
    fill(first, layout=HUB)  # beside it
    fill(second)
    fill(replace(first, revision="v1"))
    Volume(root).prune(Deadline(5))
    assert (theirs / "vocab.txt").read_text() == "{}"


def error_of(fill: Fill, first: LockedModel, root: Path) -> str:
    before = sorted(root.rglob("*"))
    for others in Others:
        with pytest.raises(ConfigurationError) as caught:
            fill(first, layout=HUB, others=others)
        assert sorted(root.rglob("*")) == before
    return str(caught.value)


def test_a_reference_of_another_program_is_an_error(fill: Fill, first: LockedModel, root: Path) -> None:
    path = root / HOME / "refs/main"
    path.parent.mkdir(parents=True)
    path.write_text("9" * 40)
    assert error_of(fill, first, root) == (
        "another program keeps its own Hugging Face cache in this folder\n"
        f"  expected: a reference to {first.commit}\n"
        f"  found: {path}, which names {'9' * 40}\n"
        "  what to do: use another folder, or remove what is there if no program needs it"
    )
    path.unlink()
    path.symlink_to(root / "nowhere")
    assert "which names no commit" in error_of(fill, first, root)
    path.unlink()
    path.write_text(first.commit)  # as we would have written it
    fill(first, layout=HUB)
    fill(replace(first, revision="v1"))
    assert f"{HOME}/refs/main" not in Volume(root).prune(Deadline(5))


def test_a_snapshot_of_another_program_is_an_error(fill: Fill, first: LockedModel, root: Path) -> None:
    path = root / snapshot(first)
    path.mkdir(parents=True)
    (path / "vocab.txt").write_text("of somebody")
    assert error_of(fill, first, root) == (
        "another program keeps its own Hugging Face cache in this folder\n"
        "  expected: exactly the locked files\n"
        f"  found: {path}, which modelenv did not create\n"
        "  what to do: use another folder, or remove what is there if no program needs it"
    )


@pytest.mark.parametrize("newer", [False, True])
def test_what_the_metadata_names_is_ours_without_the_list_of_our_folders(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path, newer: bool
) -> None:
    fill(first, layout=HUB)
    (root / ".modelenv/folders.json").unlink()
    (root / snapshot(first) / "vocab.txt").unlink()
    model = second if newer else first
    fill(model)
    assert read(root, locked=model) == root / snapshot(model)
    assert reference(root) == model.commit


def test_another_layout_needs_no_space(fill: Fill, first: LockedModel, root: Path, monkeypatch: Any) -> None:
    fill(first)
    used = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: used._replace(free=0))
    fill(first, layout=HUB)
    assert read(root) == root / snapshot(first)
    assert (root / snapshot(first) / "config.json").samefile(root / "acme/model/config.json")
    (root / snapshot(first) / "config.json").unlink()
    with pytest.raises(NoSpaceError):
        fill(first)


@pytest.mark.parametrize("link", [HOME, f"{HOME}/snapshots", f"{HOME}/refs"])
def test_nothing_is_written_through_a_link(
    fill: Fill, first: LockedModel, root: Path, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    with pytest.raises(UnsafeModelError, match="a link is in the path"):
        fill(first, layout=HUB)
    assert list(outside.iterdir()) == []


class KilledError(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["grown", "newer"])
def test_a_pull_that_is_killed_at_any_step_is_completed_by_the_next(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = without(first, "vocab.txt"), first if model == "grown" else second
    real, steps = Path.replace, 0
    while True:
        steps += 1
        shutil.rmtree(root, ignore_errors=True)
        fill(old, layout=HUB)
        left = steps

        def killed(path: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left == 0:
                raise KilledError
            return real(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", killed)
            try:
                fill(new)
                break
            except KilledError:
                pass
        assert read(root)  # the old set or the new one
        assert {file.path for file in old.files} <= set(names(root / snapshot(first)))
        assert (root / HOME / "snapshots" / reference(root)).is_dir()
        filled = fill(new)
        assert [each.folder for each in filled.metadata.models] == [snapshot(new)]
        assert {file.path for file in new.files} <= set(names(root / snapshot(new)))
        assert reference(root) == new.commit
        assert not fill(new).changed
    assert steps > 4


def test_a_snapshot_without_metadata_is_incomplete(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first, layout=HUB)
    (root / "model-metadata.yaml").unlink()
    with pytest.raises(ModelIntegrityError, match="the volume is incomplete"):
        check_put_there_by_hand(root, root / snapshot(first), model="acme/model")
    filled: Filled = fill(first, layout=HUB)  # not put there by hand
    assert filled.copied == ()
