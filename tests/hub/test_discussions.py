"""Pull requests and discussions, by the real client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub

# The client uploads large files in a way that its HTTP library warns about.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

WEIGHTS = bytes(range(256)) * 40


def content(api: HfApi, repo: str, path: str, revision: str | None = None) -> bytes:
    return Path(api.hf_hub_download(repo, path, revision=revision)).read_bytes()


def test_a_pull_request_is_read_continued_and_merged(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    stranger = hub.token("eve")
    opened = api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"1", create_pr=True, token=stranger)
    assert (opened.pr_revision, opened.pr_url) == ("refs/pr/1", f"{hub.endpoint}/ada/new/discussions/1")
    api.upload_file(repo_id=repo, path_in_repo="b.bin", path_or_fileobj=WEIGHTS, revision="refs/pr/1")
    api.upload_file(repo_id=repo, path_in_repo="main.txt", path_or_fileobj=b"2")
    assert "a.txt" not in api.list_repo_files(repo)
    assert content(api, repo, "b.bin", "refs/pr/1") == WEIGHTS
    requests = api.list_repo_refs(repo, include_pull_requests=True).pull_requests
    assert [request.ref for request in requests or []] == ["refs/pr/1"]
    api.merge_pull_request(repo, 1, comment="thanks")
    assert {"a.txt", "b.bin", "main.txt"} <= set(api.list_repo_files(repo))
    details = api.get_discussion_details(repo, 1)
    assert (details.status, details.author, details.target_branch) == ("merged", "eve", "refs/heads/main")
    assert details.merge_commit_oid == api.model_info(repo).sha
    assert [event.type for event in details.events] == ["comment", "commit", "commit", "comment", "status-change"]


def test_a_pull_request_with_conflicts_is_not_merged(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"theirs", create_pr=True)
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"ours")
    assert api.get_discussion_details(repo, 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"Cannot merge refs/pr/1: conflicts in a\.txt"):
        api.merge_pull_request(repo, 1)
    api.change_discussion_status(repo, 1, "closed")
    with pytest.raises(HfHubHTTPError, match="Discussion 1 is not an open pull request"):
        api.merge_pull_request(repo, 1)


def test_discussions(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    opened = api.create_discussion(repo, "A question", description="Why?")
    assert (opened.num, opened.status, opened.is_pull_request) == (1, "open", False)
    assert api.comment_discussion(repo, 1, "Because.").content == "Because."
    assert api.rename_discussion(repo, 1, "An answer").new_title == "An answer"
    assert api.change_discussion_status(repo, 1, "closed", comment="done").new_status == "closed"
    api.create_pull_request(repo, "A proposal")
    listed = [(found.num, found.title, found.status) for found in api.get_repo_discussions(repo)]
    assert listed == [(2, "A proposal", "draft"), (1, "An answer", "closed")]
    only = {"discussion_type": "pull_request", "discussion_status": "open", "author": "ada"}
    assert [found.num for found in api.get_repo_discussions(repo, **only)] == [2]
    for call, message in (
        (lambda: api.get_discussion_details(repo, 9), "Discussion not found: 9"),
        (lambda: api.create_discussion(repo, "x"), "Invalid title: expected at least 3 characters"),
        (lambda: api.rename_discussion(repo, 1, "x"), "Invalid title"),
        (lambda: api.edit_discussion_comment(repo, 1, "0", "x"), "comment/0/edit is not served"),
    ):
        with pytest.raises(HfHubHTTPError, match=message):
            call()


def test_the_author_of_a_pull_request_can_push_to_it(api: HfApi, repo: str, hub: EmbeddedHub, tmp_path: Path) -> None:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError

    author, reader, other = hub.token("bob"), hub.token("bob", role="read"), hub.token("eve")
    first = [CommitOperationAdd("a.txt", b"1")]
    opened = api.create_commit(repo, first, commit_message="by bob", create_pr=True, token=author)
    more = {"repo_id": repo, "path_in_repo": "b.bin", "path_or_fileobj": WEIGHTS, "revision": opened.pr_revision}
    api.upload_file(**more, token=author)
    assert content(api, repo, "b.bin", "refs/pr/1") == WEIGHTS
    draft = api.create_pull_request(repo, "A draft", token=author).git_reference
    api.upload_file(**{**more, "revision": draft}, token=author)
    (tmp_path / "folder").mkdir()
    for number in range(3):
        (tmp_path / "folder" / f"{number}.txt").write_text(str(number))
    pushed = api.upload_folder(repo_id=repo, folder_path=tmp_path / "folder", create_pr=True, token=author)
    assert "2.txt" in api.list_repo_files(repo, revision=pushed.pr_revision)
    for token, message in (
        (other, "discussion 1 of ada/new was not opened by eve"),
        (reader, "you must use a write token"),
    ):
        with pytest.raises(HfHubHTTPError, match=message) as caught:
            api.upload_file(**more, token=token)
        assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError, match="bob has no right to write to ada/new"):
        api.merge_pull_request(repo, 1, token=author)


def test_a_pull_request_starts_at_the_given_commit(api: HfApi, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import RevisionNotFoundError

    start = api.model_info(repo).sha
    api.upload_file(repo_id=repo, path_in_repo="later.txt", path_or_fileobj=b"1")

    def propose(parent: str) -> str | None:
        change = [CommitOperationAdd("a.txt", b"2")]
        return api.create_commit(
            repo, change, commit_message="early", create_pr=True, parent_commit=parent
        ).pr_revision

    assert api.list_repo_files(repo, revision=propose(start)) == [".gitattributes", "a.txt"]
    assert api.list_repo_files(repo, revision=propose(start[:7])) == [".gitattributes", "a.txt"]
    with pytest.raises(RevisionNotFoundError, match=f"Invalid rev id: {'0' * 40}"):
        propose("0" * 40)
    api.merge_pull_request(repo, 1)
    assert {"a.txt", "later.txt"} <= set(api.list_repo_files(repo))


def test_a_discussion_can_be_changed_by_its_author_and_by_owners(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    author, stranger, reader = hub.token("bob"), hub.token("eve"), hub.token("bob", role="read")
    api.create_discussion(repo, "A question", token=author)
    for change in (
        lambda token: api.change_discussion_status(repo, 1, "closed", token=token),
        lambda token: api.rename_discussion(repo, 1, "Another one", token=token),
    ):
        with pytest.raises(HfHubHTTPError, match="discussion 1 of ada/new was not opened by eve"):
            change(stranger)
        change(author)
        change(None)  # the owner
    api.comment_discussion(repo, 1, "Because.", token=stranger)
    for ask in (
        lambda: api.comment_discussion(repo, 1, "x", token=reader),
        lambda: api.create_discussion(repo, "A second one", token=reader),
    ):
        with pytest.raises(HfHubHTTPError, match="you must use a write token"):
            ask()


def test_a_merged_pull_request_cannot_be_changed(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    change = {"repo_id": repo, "path_in_repo": "a.txt", "path_or_fileobj": b"1"}
    api.upload_file(**change, create_pr=True)
    api.merge_pull_request(repo, 1)
    for call in (
        lambda: api.change_discussion_status(repo, 1, "open"),
        lambda: api.upload_file(**{**change, "path_or_fileobj": b"2"}, revision="refs/pr/1"),
        lambda: api.super_squash_history(repo, branch="refs/pr/1"),
    ):
        with pytest.raises(HfHubHTTPError, match="Pull request 1 is merged and cannot be changed") as caught:
            call()
        assert caught.value.response.status_code == 409
    assert api.comment_discussion(repo, 1, "thanks").content == "thanks"


@pytest.mark.parametrize("number", ["%C2%B2", "9" * 5000, "0", "-1"])
def test_an_invalid_discussion_number_is_not_found(ask, hub: EmbeddedHub, number: str) -> None:
    assert ask("GET", f"/api/models/org/name/discussions/{number}").status == 404
    answer = ask("GET", f"/api/models/org/name/discussions?p={number}")
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 0, "start": 0, "discussions": []})
