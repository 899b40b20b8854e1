"""The history of a repository: its commits, and the branches, tags and pull requests that name them."""

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

# git shortens ids to seven digits and more.
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
# What git-check-ref-format(1) forbids in the name of a branch or tag.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock$|\.$|^[./-]|/$|/\.")


class UnknownRevisionError(LookupError):
    """There is no branch, tag, pull request or commit of this name."""


class TakenError(ValueError):
    """The name of a branch or tag is taken."""


@dataclass(frozen=True)
class Event:
    """What happened in a discussion: its kind as the Hub names it, who did it, and the kind's own data."""

    kind: Literal["comment", "status-change", "commit", "title-change"]
    author: str
    date: datetime
    data: Mapping[str, object]


@dataclass(frozen=True)
class Discussion:
    """A discussion, or with a `head` a pull request: the commit to be merged into the branch `base`."""

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
        """The revision under which a pull request can be read."""
        return f"refs/pr/{self.num}"

    def as_request(self, base: str, head: str) -> Discussion:
        """Return it as a pull request for the branch `base`."""
        return replace(self, base=base, head=head)


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class History:
    """The commits of a repository and their names. It does not change: each change gives a new one."""

    commits: Mapping[str, Snapshot] = field(default_factory=lambda: MappingProxyType({}))
    branches: Mapping[str, str] = field(default_factory=_nothing)
    tags: Mapping[str, str] = field(default_factory=_nothing)
    discussions: tuple[Discussion, ...] = ()

    def find(self, revision: str) -> Snapshot:
        """Return the commit of a branch, tag, `refs/…`, or a full or shortened commit id.

        Raises:
            UnknownRevisionError: there is none.
        """
        commit = self.branches.get(revision) or self.tags.get(revision) or self._by_reference(revision)
        if commit is None and _COMMIT.fullmatch(revision):
            commit = next((known for known in self.commits if known.startswith(revision)), None)
        if commit is None:
            raise UnknownRevisionError(revision)
        return self.commits[commit]

    def log(self, start: Snapshot) -> list[Snapshot]:
        """Return this commit and its ancestors, the newest first, along the first parents."""
        found = [start]
        while (parents := found[-1].parents) and parents[0] in self.commits:
            found.append(self.commits[parents[0]])
        return found

    def lfs_files(self) -> dict[str, ServedFile]:
        """Return the LFS files of all commits, by their sha256."""
        files = (file for commit in self.commits.values() for file in commit.files.values())
        return {file.sha256: file for file in files if file.sha256 is not None}

    def committed(self, branch: str, snapshot: Snapshot) -> History:
        """Return the history with this commit as the head of `branch`, a pull request's `refs/pr/N` included."""
        known = self.commits.get(snapshot.commit)
        if known is not None:  # a served folder that was put back as it had been: its ancestors stay what they were
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
            TakenError: there is such a branch.
            UnknownRevisionError: there is no `start`.
        """
        if name in self.branches:
            raise TakenError(f"Reference refs/heads/{name} already exists")
        return replace(self, branches={**self.branches, name: self.find(start).commit})

    def tagged(self, name: str, start: str) -> History:
        """Return the history with a new tag at `start`; raises as `branched` does."""
        commit = self.find(start).commit
        if name in self.tags:
            raise TakenError(f"Tag refs/tags/{name} already exists")
        return replace(self, tags={**self.tags, name: commit})

    def without(self, kind: Literal["branches", "tags"], name: str) -> History:
        """Return the history without this branch or tag.

        Raises:
            UnknownRevisionError: there is none.
        """
        present: Mapping[str, str] = getattr(self, kind)
        if name not in present:
            raise UnknownRevisionError(name)
        left = {key: value for key, value in present.items() if key != name}
        return replace(self, branches=left) if kind == "branches" else replace(self, tags=left)

    def discussion(self, num: int) -> Discussion | None:
        """Return the discussion or pull request of this number."""
        return next((known for known in self.discussions if known.num == num), None)

    def pull_request(self, ref: str) -> Discussion | None:
        """Return the pull request whose revision is `ref`."""
        return next((known for known in self.discussions if known.head is not None and known.ref == ref), None)

    def discussed(self, discussion: Discussion) -> History:
        """Return the history with this discussion, in place of the one of the same number if there is one."""
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
    """Return whether git allows this name for a branch or tag."""
    return bool(name) and _FORBIDDEN.search(name) is None
