"""`modelenv prune` in a shared cache, whose contents are compared byte for byte."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.loading.locked_folder import obtain_locked, snapshot_of
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .sharers import Sharer, blob_of, folder_of, moved, new, old, paths_of, project, store, tree

__all__ = ["moved", "new", "old", "project", "store"]  # fixtures


def test_an_old_commit_of_this_project_is_removed(project: Sharer, store: Store, moved: LockedModel) -> None:
    before = tree(store.root)
    assert project.prune(dry_run=True) == ([folder_of(moved), blob_of(moved, "config.json")], {})
    assert tree(store.root) == before
    assert project.prune() == ([folder_of(moved), blob_of(moved, "config.json")], {})
    after = tree(store.root)
    assert before.keys() - after.keys() == paths_of(moved)
    assert after.items() <= before.items()
    assert not list(store.root.glob(f".locks/modelenv/*/{moved.commit}*"))
    assert project.prune() == ([], {})


def test_a_commit_that_another_project_pins_is_kept_until_that_moves_too(
    project: Sharer, store: Store, old: LockedModel, new: LockedModel, tmp_path: Path
) -> None:
    other = Sharer(tmp_path / "other", store.root)
    project.pull(old)
    other.pull(replace(old, alias="theirs"))  # already in the cache: nothing is fetched
    project.pull(new)
    before = tree(store.root)
    assert project.prune() == ([], {folder_of(old): "another project's lock needs it"})
    assert other.prune() == ([], {folder_of(new): "another project's lock needs it"})
    assert tree(store.root) == before
    other.pull(replace(new, alias="theirs"))
    assert other.prune() == ([folder_of(old), blob_of(old, "config.json")], {})
    assert before.keys() - tree(store.root).keys() == paths_of(old)


@pytest.mark.parametrize("unshared", [False, True])
@pytest.mark.parametrize(
    "link",
    [
        "models--acme--sibling/snapshots/{commit}/config.json",
        "acme/plain/config.json",
        "hub/models--acme--model/snapshots/{commit}/config.json",
        "datasets--acme--data/snapshots/{commit}/deep/er/config.json",
        "anything",
    ],
)
def test_a_blob_with_other_links_is_kept(
    project: Sharer, store: Store, moved: LockedModel, link: str, unshared: bool
) -> None:
    path = store.root / link.format(commit="c" * 40)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(store.root / blob_of(moved, "config.json"), path.parent))
    content = path.read_bytes()
    before = tree(store.root)
    removed, _ = project.prune(unshared=unshared)
    assert removed == [folder_of(moved)]
    assert path.read_bytes() == content
    assert before.keys() - tree(store.root).keys() == paths_of(moved) - {blob_of(moved, "config.json")}


def test_a_blob_behind_a_chain_of_links_is_kept(project: Sharer, store: Store, moved: LockedModel) -> None:
    (store.root / "first").symlink_to(blob_of(moved, "config.json"))
    (store.root / "second").symlink_to("first")
    assert project.prune()[0] == [folder_of(moved)]
    assert (store.root / "second").read_bytes()


@pytest.mark.parametrize("unshared", [False, True])
def test_files_that_are_not_snapshots_or_blobs_are_kept(
    project: Sharer, store: Store, new: LockedModel, unshared: bool
) -> None:
    project.pull(new)
    cache = store.root / "models--acme--model"
    others = [
        cache / "NOTES.md",
        cache / "blobs/NOTES.md",
        cache / f"blobs/{'a' * 64}.0123abcd.incomplete",
        cache / f"blobs/{'a' * 40}.incomplete",
        cache / "snapshots/latest/config.json",
        cache / f"snapshots/{'b' * 39}/config.json",
        cache / "blobs" / ("c" * 40) / "a folder that is named like a blob",
        store.root / "models--acme--unlocked/snapshots" / ("d" * 40) / "config.json",
        store.root / "models--acme--unlocked/blobs" / ("e" * 64),
        store.root / "acme/model/config.json",
        store.root / "README.md",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of somebody else")
    orphan = cache / "blobs" / ("f" * 64)
    orphan.write_text("about to be linked, or left over")
    before = tree(store.root)
    removed, kept = project.prune(unshared=unshared)
    assert kept == {}
    assert removed == ([f"models--acme--model/blobs/{'f' * 64}"] if unshared else [])
    assert before.keys() - tree(store.root).keys() == set(removed)


@pytest.mark.parametrize("unshared", [False, True])
@pytest.mark.parametrize("folder", ["", "/snapshots", "/blobs", "/refs"])
def test_nothing_behind_a_link_is_removed(
    project: Sharer, store: Store, moved: LockedModel, tmp_path: Path, folder: str, unshared: bool
) -> None:
    place = store.root / f"models--acme--model{folder}"
    place.rename(tmp_path / "mine")
    place.symlink_to(tmp_path / "mine")
    before, of_mine = tree(store.root), tree(tmp_path / "mine")
    reason = "it is a link, and its target is not part of this cache"
    assert project.prune(unshared=unshared) == ([], {f"models--acme--model{folder}": reason})
    assert (tree(store.root), tree(tmp_path / "mine")) == (before, of_mine)


def test_files_set_aside_are_removed_and_nothing_behind_a_link(
    project: Sharer, store: Store, old: LockedModel, tmp_path: Path
) -> None:
    project.pull(old)
    store.set_aside(ModelRef("acme/model"), store.root / blob_of(old, "config.json"))
    [aside] = [name for name in tree(store.root) if "damaged" in name]
    assert project.prune() == ([aside], {})
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    damaged = store.root / ".locks/modelenv/damaged"
    (damaged / "models--acme--model/link").symlink_to(mine)
    assert project.prune()[0] == [".locks/modelenv/damaged/models--acme--model/link"]  # only the link
    (damaged / "models--acme--model").rmdir()
    damaged.rmdir()
    damaged.symlink_to(mine)
    assert project.prune() == ([], {})
    assert tree(mine) == {"file": b"mine"}


def test_malformed_references_are_reported_and_kept(
    project: Sharer, store: Store, moved: LockedModel, tmp_path: Path
) -> None:
    refs = store.root / "models--acme--model/refs"
    (refs / "binary").write_bytes(b"\xff\xfe\x00")
    (refs / "empty").write_text("")
    (refs / "nowhere").symlink_to("missing")
    (refs / "out").symlink_to(tmp_path)
    (refs / "deep/er").mkdir(parents=True)
    (refs / "deep/er/word").write_text("main")
    os.mkfifo(refs / "pipe")
    odd = {
        f"models--acme--model/refs/{name}" for name in ("binary", "empty", "nowhere", "out", "deep/er/word", "pipe")
    }
    removed, kept = project.prune()
    assert removed == [folder_of(moved), blob_of(moved, "config.json")]
    assert kept == dict.fromkeys(odd, "this reference does not contain a commit")
    assert {path for path in odd if os.path.lexists(store.root / path)} == odd


@pytest.mark.skipif(os.getuid() == 0, reason="root can read everything")
def test_no_blob_is_removed_if_a_folder_is_unreadable(project: Sharer, store: Store, moved: LockedModel) -> None:
    closed = store.root / "models--somebody--private"
    closed.mkdir(mode=0o000)
    try:
        removed, kept = project.prune()
    finally:
        closed.chmod(0o700)
    assert removed == [folder_of(moved)]
    assert list(kept) == ["models--somebody--private"]


def test_a_snapshot_without_notes_is_kept(project: Sharer, store: Store, old: LockedModel, new: LockedModel) -> None:
    """An earlier version of modelenv filled the store without notes."""
    obtain_locked(store, old, Deadline(20), fetches=True, checks=Checks())
    for note in (store.root / ".locks").rglob("*.made.json"):
        note.unlink()
    project.pull(new)
    assert project.prune() == ([], {folder_of(old): "modelenv did not fetch it for a lock"})
    assert project.prune(unshared=True)[0] == [folder_of(old), blob_of(old, "config.json")]
    assert snapshot_of(store, new).is_dir()
