"""Pull requests and discussions, by the real client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub

# The client's own way to send a large file is one that its HTTP library warns of.
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
    with pytest.raises(HfHubHTTPError, match="Discussion 1 is no open pull request"):
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
