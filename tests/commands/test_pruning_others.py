"""`modelenv prune` keeps a commit that others use or changed, whatever this project's lock says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.locks.values import LockedModel
from modelenv.store.store import Store

from .sharers import Sharer, blob_of, folder_of, moved, new, old, project, store, tree

__all__ = ["moved", "new", "old", "project", "store"]  # fixtures


Change = Callable[[Path, LockedModel, Path], None]


def fetched_by_another_program(root: Path, old: LockedModel, mine: Path) -> None:
    for note in (root / ".locks").rglob(f"{old.commit}.made.json"):
        note.unlink()


def with_a_note(root: Path, old: LockedModel, mine: Path) -> None:
    (root / folder_of(old) / "NOTES.md").write_text("my findings about this commit")


def with_a_note_in_a_folder(root: Path, old: LockedModel, mine: Path) -> None:
    (root / folder_of(old) / "notes").mkdir()
    (root / folder_of(old) / "notes/one.md").write_text("a note")


def with_a_link_to_the_users_file(root: Path, old: LockedModel, mine: Path) -> None:
    (root / folder_of(old) / "extra.json").symlink_to(mine / "file")


def with_a_link_to_the_users_folder(root: Path, old: LockedModel, mine: Path) -> None:
    (root / folder_of(old) / "extra").symlink_to(mine)


def with_another_file(root: Path, old: LockedModel, mine: Path) -> None:
    link = root / folder_of(old) / "README.md"
    link.symlink_to(os.path.relpath(root / blob_of(old, "tokenizer.json"), link.parent))


def with_a_record_of_a_missing_file(root: Path, old: LockedModel, mine: Path) -> None:
    absent = root / f"models--acme--model/.no_exist/{old.commit}"
    absent.mkdir(parents=True)
    (absent / "adapter_config.json").write_text("")


def with_a_listing(root: Path, old: LockedModel, mine: Path) -> None:
    (root / "models--acme--model/trees").mkdir()
    (root / f"models--acme--model/trees/{old.commit}.json").write_text("{}")


def with_a_tag(root: Path, old: LockedModel, mine: Path) -> None:
    (root / "models--acme--model/refs/pr").mkdir(parents=True)
    (root / "models--acme--model/refs/pr/1").write_text(old.commit)


def with_a_linked_reference(root: Path, old: LockedModel, mine: Path) -> None:
    (root / "models--acme--model/refs/stable").symlink_to("main")


def with_its_folder_behind_a_link(root: Path, old: LockedModel, mine: Path) -> None:
    (root / folder_of(old)).rename(mine / old.commit)
    (root / folder_of(old)).symlink_to(mine / old.commit)


def with_a_file_in_its_place(root: Path, old: LockedModel, mine: Path) -> None:
    for path in (root / folder_of(old)).iterdir():
        path.unlink()
    (root / folder_of(old)).rmdir()
    (root / folder_of(old)).write_text("a note in place of the folder")


@pytest.mark.parametrize(
    ("change", "reason", "if_unshared"),
    [
        (fetched_by_another_program, "modelenv did not fetch it for a lock", True),
        (with_another_file, "another program fetched README.md", True),
        (with_a_record_of_a_missing_file, "another program has used it", True),
        (with_a_listing, "another program has used it", True),
        (with_a_tag, "refs/pr/1, written by another program, points to it", True),
        (with_a_linked_reference, "refs/stable, written by another program, points to it", True),
        (with_a_note, "it contains NOTES.md, which is not a link to a blob", False),
        (with_a_note_in_a_folder, "it contains notes/one.md, which is not a link to a blob", False),
        (with_a_link_to_the_users_file, "its link extra.json leads elsewhere", False),
        (with_a_link_to_the_users_folder, "its link extra leads elsewhere", False),
        (with_its_folder_behind_a_link, "it is a link, and its target is not part of this cache", False),
        (with_a_file_in_its_place, "it is not a folder", False),
    ],
)
def test_a_commit_that_others_use_is_kept(
    project: Sharer, store: Store, moved: LockedModel, tmp_path: Path, change: Change, reason: str, if_unshared: bool
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    change(store.root, moved, mine)
    before, of_mine = tree(store.root), tree(mine)
    assert project.prune(dry_run=True) == project.prune() == ([], {folder_of(moved): reason})
    assert (tree(store.root), tree(mine)) == (before, of_mine)
    removed, kept = project.prune(unshared=True)
    assert (folder_of(moved) in removed, kept == {}) == (if_unshared, if_unshared)
    assert tree(mine) == of_mine
    assert tree(store.root).items() <= before.items()
    if not if_unshared:
        assert [path for path in before.keys() - tree(store.root).keys() if path not in removed] == []
