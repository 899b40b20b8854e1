"""The history of a repository: its commits, branches, tags and pull requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from modelenv.hub.repos.commits import MAIN, Snapshot

if TYPE_CHECKING:
    from modelenv.hub.repos.content import ServedFile

# git abbreviates ids to seven or more digits.
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
# Names of branches and tags that git-check-ref-format(1) forbids.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock$|\.$|^[./-]|/$|/\.")


class UnknownRevisionError(LookupError):
    """There is no branch, tag, pull request or commit with this name."""


class TakenError(ValueError):
    """A branch or tag with this name already exists."""


@dataclass(frozen=True)
class Event:
    """An event in a discussion: the Hub's name for its kind, the author, and the data of this kind."""

    kind: Literal["comment", "status-change", "commit", "title-change"]
    author: str
    date: datetime
    data: Mapping[str, object]


@dataclass(frozen=True)
class Discussion:
    """A discussion. If it has a `head`, it is a pull request to merge that commit into the branch `base`."""

    num: int
    title: str
    author: str
    date: datetime
    status: Literal["open", "closed", "merged", "draft"]
    events: tuple[Event, ...] = ()
    base: str = MAIN
    head: str | None = None
    merged_as: str | None = None

    @property
    def ref(self) -> str:
        """The revision of a pull request."""
        return f"refs/pr/{self.num}"

    def as_request(self, base: str, head: str) -> Discussion:
        """Return this discussion as a pull request for the branch `base`."""
        return replace(self, base=base, head=head)


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class History:
    """The commits of a repository and the names that refer to them. Immutable: each change returns a new history."""

    commits: Mapping[str, Snapshot] = field(default_factory=lambda: MappingProxyType({}))
    branches: Mapping[str, str] = field(default_factory=_nothing)
    tags: Mapping[str, str] = field(default_factory=_nothing)
    discussions: tuple[Discussion, ...] = ()

    def find(self, revision: str) -> Snapshot:
        """Return the commit of a branch, a tag, a `refs/…`, or a full or abbreviated commit id.

        Raises:
            UnknownRevisionError: There is no such revision.
        """
        commit = self.branches.get(revision) or self.tags.get(revision) or self._by_reference(revision)
        if commit is None and _COMMIT.fullmatch(revision):
            commit = next((known for known in self.commits if known.startswith(revision)), None)
        if commit is None:
            raise UnknownRevisionError(revision)
        return self.commits[commit]

    def log(self, start: Snapshot) -> list[Snapshot]:
        """Return this commit and its ancestors along the first parents, newest first."""
        found = [start]
        while (parents := found[-1].parents) and parents[0] in self.commits:
            found.append(self.commits[parents[0]])
        return found

    def lfs_files(self) -> dict[str, ServedFile]:
        """Return the LFS files of all commits, by their sha256."""
        files = (file for commit in self.commits.values() for file in commit.files.values())
        return {file.sha256: file for file in files if file.sha256 is not None}

    def committed(self, branch: str, snapshot: Snapshot) -> History:
        """Return the history with this commit as the head of `branch`, which can be a pull request's `refs/pr/N`."""
        known = self.commits.get(snapshot.commit)
        if known is not None:  # a served folder was restored to an earlier state: keep the parents of that commit
            snapshot = replace(snapshot, parents=known.parents, touched=known.touched)
        commits = {**self.commits, snapshot.commit: snapshot}
        request = self.pull_request(branch)
        if request is None:
            return replace(self, commits=commits, branches={**self.branches, branch: snapshot.commit})
        event = Event(
            "commit",
            snapshot.author,
            snapshot.last_modified,
            {"subject": snapshot.title, "oid": snapshot.commit},
        )
        moved = replace(request, head=snapshot.commit, events=(*request.events, event))
        return replace(self, commits=commits).discussed(moved)

    def branched(self, name: str, start: str) -> History:
        """Return the history with a new branch at `start`.

        Raises:
            TakenError: The branch already exists.
            UnknownRevisionError: `start` does not exist.
        """
        if name in self.branches:
            raise TakenError(f"Reference refs/heads/{name} already exists")
        return replace(self, branches={**self.branches, name: self.find(start).commit})

    def tagged(self, name: str, start: str) -> History:
        """Return the history with a new tag at `start`. Raises the same errors as `branched`."""
        commit = self.find(start).commit
        if name in self.tags:
            raise TakenError(f"Tag refs/tags/{name} already exists")
        return replace(self, tags={**self.tags, name: commit})

    def without(self, kind: Literal["branches", "tags"], name: str) -> History:
        """Return the history without this branch or tag.

        Raises:
            UnknownRevisionError: It does not exist.
        """
        present: Mapping[str, str] = getattr(self, kind)
        if name not in present:
            raise UnknownRevisionError(name)
        left = {key: value for key, value in present.items() if key != name}
        return replace(self, branches=left) if kind == "branches" else replace(self, tags=left)

    def discussion(self, num: int) -> Discussion | None:
        """Return the discussion or pull request with this number, or None."""
        return next((known for known in self.discussions if known.num == num), None)

    def pull_request(self, ref: str) -> Discussion | None:
        """Return the pull request whose revision is `ref`, or None."""
        return next((known for known in self.discussions if known.head is not None and known.ref == ref), None)

    def discussed(self, discussion: Discussion) -> History:
        """Return the history with this discussion added, or replaced if its number exists."""
        others = [known for known in self.discussions if known.num != discussion.num]
        ordered = sorted([*others, discussion], key=lambda known: known.num)
        return replace(self, discussions=tuple(ordered))

    def _by_reference(self, revision: str) -> str | None:
        if revision.startswith("refs/heads/"):
            return self.branches.get(revision.removeprefix("refs/heads/"))
        if revision.startswith("refs/tags/"):
            return self.tags.get(revision.removeprefix("refs/tags/"))
        request = self.pull_request(revision)
        return request.head if request is not None else None


def valid_name(name: str) -> bool:
    """Whether git allows this name for a branch or tag."""
    return bool(name) and _FORBIDDEN.search(name) is None
