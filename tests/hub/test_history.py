from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelenv.hub.repos.commits import CommitText, Snapshot, made_snapshot
from modelenv.hub.repos.content import FoundFile, ServedFile, git_id
from modelenv.hub.repos.history import History, TakenError, UnknownRevisionError, valid_name

TEXT = CommitText("a title", "", "someone", datetime(2026, 1, 2, tzinfo=UTC))


def files(**contents: str) -> dict[str, ServedFile]:
    return {
        path.replace("__", "/"): ServedFile(
            FoundFile(path, Path("/nowhere"), len(content), 0), git_id("blob", content.encode()), None
        )
        for path, content in contents.items()
    }


@pytest.fixture
def first() -> Snapshot:
    return made_snapshot(files(a="1", b__c="2", b__d="3"), (), TEXT)


@pytest.fixture
def second(first: Snapshot) -> Snapshot:
    return made_snapshot(files(a="1", b__c="changed", e="5"), (first,), TEXT)


@pytest.fixture
def history(first: Snapshot, second: Snapshot) -> History:
    return History().committed("main", first).committed("main", second)


def test_a_commit_is_found_by_each_of_its_revisions(history: History, first: Snapshot, second: Snapshot) -> None:
    tagged = history.tagged("v1", first.commit).branched("next", "v1")
    for revision in ("v1", "refs/tags/v1", "next", "refs/heads/next", first.commit, first.commit[:7]):
        assert tagged.find(revision) is first
    assert tagged.find("main") is second
    assert tagged.log(second) == [second, first]


@pytest.mark.parametrize("revision", ["v1", "refs/heads/v1", "refs/pr/1", "0000000", "", "abc"])
def test_an_unknown_revision_is_an_error(history: History, revision: str) -> None:
    with pytest.raises(UnknownRevisionError):
        history.find(revision)


def test_the_last_commit_of_each_path(first: Snapshot, second: Snapshot) -> None:
    assert second.touched == {"a": first.commit, "b/c": second.commit, "b": second.commit, "e": second.commit}
    assert set(first.touched) == {"a", "b", "b/c", "b/d"}


def test_branches_and_tags_are_created_once_and_can_be_deleted(history: History) -> None:
    with pytest.raises(TakenError, match="Reference refs/heads/main already exists"):
        history.branched("main", "main")
    tagged = history.tagged("v1", "main")
    with pytest.raises(TakenError, match="Tag refs/tags/v1 already exists"):
        tagged.tagged("v1", "main")
    assert tagged.without("tags", "v1") == history
    with pytest.raises(UnknownRevisionError):
        history.without("branches", "v1")


def test_a_restored_folder_keeps_its_parents(history: History, first: Snapshot) -> None:
    back = history.committed("main", Snapshot(first.commit, first.files, first.trees, first.last_modified, ("x",)))
    assert [commit.commit for commit in back.log(back.find("main"))] == [first.commit]


@pytest.mark.parametrize("name", ["main", "feature/a", "v1.0", "ünïcode", "a-b_c"])
def test_names_that_git_allows(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "a..b", "-a", "/a", "a/", ".a", "a/.b", "a.lock", "a.", "a~1", "a^", "a:b", "a@{1}", "a\n"]
)
def test_names_that_git_forbids(name: str) -> None:
    assert not valid_name(name)
