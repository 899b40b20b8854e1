"""Commits: the files of a repository at one moment, with parents, author and message."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from modelenv.hub.repos.content import FoundFile, ServedFile, git_id, parent_folders, tree_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAIN = "main"
FOLDER_TITLE = "Served from a folder"
FOLDER_AUTHOR = "modelenv"
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Snapshot:
    """All files of a repository at one commit.

    Attributes:
        commit: The commit id.
        files: The files by path.
        trees: The git tree id of each folder, by path. "" is the top folder.
        last_modified: When the commit was made. For a served folder, when its newest file was changed.
        parents: The ids of the parent commits. Empty for the first commit.
        title, message, author: The commit message and author.
        touched: The id of the last commit that changed a file or folder, by its path.
    """

    commit: str
    files: Mapping[str, ServedFile]
    trees: Mapping[str, str]
    last_modified: datetime
    parents: tuple[str, ...] = ()
    title: str = FOLDER_TITLE
    message: str = ""
    author: str = FOLDER_AUTHOR
    touched: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CommitText:
    """The title, message, author and date of a commit."""

    title: str
    message: str
    author: str
    date: datetime


def folder_snapshot(files: Mapping[str, ServedFile], previous: Snapshot | None) -> Snapshot:
    """Return the commit of a served folder. `previous` is its commit before.

    The id depends only on names and bytes, not on earlier contents: the same folder has the same commit in every
    process and on every machine.
    """
    trees = tree_ids({path: file.blob_id for path, file in files.items()})
    snapshot = Snapshot(
        commit=commit_id(trees[""], (), CommitText(FOLDER_TITLE, "", FOLDER_AUTHOR, _EPOCH)),
        files=files,
        trees=trees,
        last_modified=newest(file.found for file in files.values()),
        parents=(previous.commit,) if previous is not None else (),
    )
    return _with_touched(snapshot, previous)


def newest(files: Iterable[FoundFile]) -> datetime:
    """Return the latest modification time of these files."""
    return datetime.fromtimestamp(max((file.mtime_ns for file in files), default=0) / 1e9, UTC)


def made_snapshot(files: Mapping[str, ServedFile], parents: tuple[Snapshot, ...], text: CommitText) -> Snapshot:
    """Return the commit of these files with these parents. `touched` is computed against the first parent."""
    ordered = dict(sorted(files.items()))
    trees = tree_ids({path: file.blob_id for path, file in ordered.items()})
    ids = tuple(parent.commit for parent in parents)
    snapshot = Snapshot(
        commit=commit_id(trees[""], ids, text),
        files=ordered,
        trees=trees,
        last_modified=text.date,
        parents=ids,
        title=text.title,
        message=text.message,
        author=text.author,
    )
    return _with_touched(snapshot, parents[0] if parents else None)


def commit_id(tree: str, parents: tuple[str, ...], text: CommitText) -> str:
    """Return the git commit id of this tree with these parents."""
    seconds = int(text.date.timestamp())
    signature = f"{text.author} <{text.author}@localhost> {seconds} +0000"
    said = f"{text.title}\n\n{text.message}\n" if text.message else f"{text.title}\n"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {signature}", f"committer {signature}", "", said]
    return git_id("commit", "\n".join(lines).encode())


def _with_touched(snapshot: Snapshot, parent: Snapshot | None) -> Snapshot:
    before = parent.files if parent is not None else {}
    changed = {
        path
        for path in before.keys() | snapshot.files.keys()
        if path not in before or path not in snapshot.files or before[path].etag != snapshot.files[path].etag
    }
    changed |= parent_folders(changed)
    kept = dict(parent.touched) if parent is not None else {}
    present = (path for path in (*snapshot.files, *snapshot.trees) if path)
    touched = {path: snapshot.commit if path in changed else kept.get(path, snapshot.commit) for path in present}
    return replace(snapshot, touched=touched)
