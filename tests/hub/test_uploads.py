"""Pushes by the real client: repositories, files, folders, commits, branches, tags and pull requests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from modelenv.hub import EmbeddedHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from huggingface_hub import HfApi

# The client's own way to send a large file is one that its HTTP library warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(storage=tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture
def hub(server: EmbeddedHub) -> Iterator[EmbeddedHub]:
    with server.scope():
        yield server


@pytest.fixture
def api(hub: EmbeddedHub, client_cache: Path) -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=hub.token("ada", orgs=["org"]))


@pytest.fixture
def repo(api: HfApi) -> str:
    return api.create_repo("new").repo_id


def content(api: HfApi, repo: str, path: str, revision: str | None = None) -> bytes:
    from pathlib import Path

    return Path(api.hf_hub_download(repo, path, revision=revision)).read_bytes()


def test_a_repository_is_created_once(api: HfApi, hub: EmbeddedHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    url = api.create_repo("new", private=True)
    assert (str(url), url.repo_id) == (f"{hub.endpoint}/ada/new", "ada/new")
    assert api.list_repo_files("ada/new") == [".gitattributes"]
    assert api.model_info("ADA/New").private
    with pytest.raises(HfHubHTTPError, match="You already created this model repo") as caught:
        api.create_repo("NEW")
    assert caught.value.response.status_code == 409
    assert api.create_repo("new", exist_ok=True).repo_id == "ada/new"
    data = api.create_repo("org/data", repo_type="dataset")
    assert str(data) == f"{hub.endpoint}/datasets/org/data"
    api.create_repo("org/app", repo_type="space", space_sdk="gradio")
    assert api.space_info("org/app").sdk == "gradio"
    with pytest.raises(HfHubHTTPError, match="Repositories of type kernel are not served"):
        api.create_repo("org/kernel", repo_type="kernel")


def test_files_go_up_and_come_down(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    info = api.upload_file(repo_id=repo, path_in_repo="a/b.txt", path_or_fileobj=b"text")
    assert str(info) == f"{hub.endpoint}/ada/new/commit/{info.oid}"
    api.upload_file(repo_id=repo, path_in_repo="model.safetensors", path_or_fileobj=WEIGHTS)
    api.upload_file(repo_id=repo, path_in_repo="binary", path_or_fileobj=io.BytesIO(WEIGHTS + b"x"))
    assert content(api, repo, "a/b.txt") == b"text"
    assert content(api, repo, "model.safetensors") == WEIGHTS
    entries = {entry.path: entry for entry in api.get_paths_info(repo, ["a/b.txt", "model.safetensors", "binary"])}
    assert entries["a/b.txt"].lfs is None
    assert entries["model.safetensors"].lfs.size == entries["model.safetensors"].size == len(WEIGHTS)
    assert entries["binary"].lfs is not None  # by its content
    uploads = [request.kind for request in hub.requests if request.kind.startswith("lfs")]
    assert uploads == ["lfs-batch", "lfs-upload", "lfs-verify"] * 2


def test_what_is_there_is_not_sent_again(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    api.upload_file(repo_id=repo, path_in_repo="model.bin", path_or_fileobj=WEIGHTS)
    head = api.model_info(repo).sha
    hub.clear()
    assert api.upload_file(repo_id=repo, path_in_repo="model.bin", path_or_fileobj=WEIGHTS).oid == head
    api.upload_file(repo_id=repo, path_in_repo="copy.bin", path_or_fileobj=WEIGHTS)
    assert [request for request in hub.requests if request.kind == "lfs-upload"] == []
    assert content(api, repo, "copy.bin") == WEIGHTS


def test_a_folder_goes_up_without_what_is_ignored(api: HfApi, repo: str, tmp_path: Path) -> None:
    for path in ("config.json", "model.bin", "parts/x.txt", "logs/y.txt", ".gitignore"):
        (tmp_path / "up" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / path).write_text("logs/\n" if path == ".gitignore" else f"content of {path}")
    api.upload_folder(repo_id=repo, folder_path=tmp_path / "up")
    expected = [".gitattributes", ".gitignore", "config.json", "model.bin", "parts/x.txt"]
    assert sorted(api.list_repo_files(repo)) == expected
    folder = api.snapshot_download(repo, local_dir=tmp_path / "down")
    assert api.verify_repo_checksums(repo, local_dir=folder).checked_count == len(expected)


def test_a_commit_changes_deletes_and_copies(api: HfApi, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.errors import EntryNotFoundError

    first = api.create_commit(
        repo,
        [CommitOperationAdd(path, data) for path, data in (("a.txt", b"1"), ("d/x.txt", b"2"), ("w.bin", WEIGHTS))],
        commit_message="first",
        commit_description="said below",
    )
    api.create_commit(
        repo,
        [
            CommitOperationAdd("a.txt", b"changed"),
            CommitOperationDelete("d/"),
            CommitOperationCopy("w.bin", "copied.bin"),
            CommitOperationCopy("a.txt", "a-copy.txt"),
        ],
        commit_message="second",
        parent_commit=first.oid,
    )
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "a-copy.txt", "a.txt", "copied.bin", "w.bin"]
    assert (content(api, repo, "a.txt"), content(api, repo, "a.txt", first.oid)) == (b"changed", b"1")
    assert content(api, repo, "copied.bin") == WEIGHTS
    commits = api.list_repo_commits(repo, formatted=True)
    assert [(commit.title, commit.message, commit.authors) for commit in commits] == [
        ("second", "", ["ada"]),
        ("first", "said below", ["ada"]),
        ("initial commit", "", ["ada"]),
    ]
    entries = api.get_paths_info(repo, ["a.txt", "w.bin"], expand=True)
    assert [entry.last_commit.title for entry in entries] == ["second", "first"]
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist: nothing"):
        api.delete_file("nothing", repo)


def test_a_stale_parent_is_refused(api: HfApi, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError

    stale = api.model_info(repo).sha
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"1")
    with pytest.raises(HfHubHTTPError, match="The branch was updated since you opened this page") as caught:
        api.create_commit(repo, [CommitOperationAdd("b.txt", b"2")], commit_message="late", parent_commit=stale)
    assert caught.value.response.status_code == 412
    assert "b.txt" not in api.list_repo_files(repo)


def test_branches_and_tags(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    start = api.model_info(repo).sha
    api.create_branch(repo, branch="next/one")
    api.create_tag(repo, tag="v1", revision=start)
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"1", revision="next/one")
    refs = api.list_repo_refs(repo)
    assert {branch.name: branch.target_commit == start for branch in refs.branches} == {
        "main": True,
        "next/one": False,
    }
    assert [(tag.name, tag.ref, tag.target_commit) for tag in refs.tags] == [("v1", "refs/tags/v1", start)]
    assert content(api, repo, "a.txt", "next/one") == b"1"
    for make in (lambda: api.create_branch(repo, branch="main"), lambda: api.create_tag(repo, tag="v1")):
        with pytest.raises(HfHubHTTPError, match="already exists") as caught:
            make()
        assert caught.value.response.status_code == 409
    with pytest.raises(HfHubHTTPError, match="Invalid reference for a tag: refs/tags/a b"):
        api.create_tag(repo, tag="a b")
    with pytest.raises(HfHubHTTPError, match=r"Invalid reference for a branch: refs/heads/a\.\.b"):
        api.create_branch(repo, branch="a..b")
    with pytest.raises(HfHubHTTPError, match="Cannot delete refs/heads/main"):
        api.delete_branch(repo, branch="main")
    api.delete_branch(repo, branch="next/one")
    api.delete_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="next/one")
    with pytest.raises(RevisionNotFoundError):
        api.create_branch(repo, branch="b", revision="v1")


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


def test_a_moved_repository_is_found_by_its_old_name(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"1")
    api.create_repo("taken")
    with pytest.raises(HfHubHTTPError, match="A model repository called ada/taken already exists"):
        api.move_repo(repo, "ada/taken")
    api.move_repo(repo, "org/moved")
    assert api.model_info(repo).id == "org/moved"
    assert content(api, repo, "a.txt") == b"1"
    assert content(api, "org/moved", "a.txt") == b"1"
    api.upload_file(repo_id=repo, path_in_repo="b.txt", path_or_fileobj=b"2")
    api.delete_repo("org/moved")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(repo)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("org/moved")


def test_squashed_history_has_one_commit(api: HfApi, repo: str) -> None:
    for text in (b"1", b"2"):
        api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=text)
    api.super_squash_history(repo, commit_message="all in one")
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["all in one"]
    assert content(api, repo, "a.txt") == b"2"


def test_settings(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api.update_repo_settings(repo, private=True, gated="manual")
    info = api.model_info(repo)
    assert (info.private, info.gated) == (True, "manual")
    api.update_repo_settings(repo, visibility="public")
    assert not api.model_info(repo).private
    with pytest.raises(HfHubHTTPError, match="Invalid visibility: protected; expected one of public, private"):
        api.create_repo("org/app", repo_type="space", space_sdk="static", visibility="protected")


def test_a_card_is_checked_before_it_goes_up(api: HfApi, repo: str) -> None:
    def push(card: bytes) -> None:
        api.upload_file(repo_id=repo, path_in_repo="README.md", path_or_fileobj=card)

    with pytest.raises(ValueError, match='"model-index" must be an array'):
        push(b"---\nmodel-index: x\n---\n")
    with pytest.raises(ValueError, match="bad YAML"):
        push(b"---\na: [\n---\n")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        push(b"no metadata")
    push(b"---\nlicense: mit\n---\n")
    assert api.model_info(repo).card_data.license == "mit"


def test_a_served_folder_can_be_pushed_to_and_is_not_written(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    hub.add(model, "org/folder")
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    first = api.model_info("org/folder").sha
    api.upload_file(repo_id="org/folder", path_in_repo="config.json", path_or_fileobj=b"{}")
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    (model / "config.json").write_text("no longer followed")
    assert content(api, "org/folder", "config.json") == b"{}"
    assert content(api, "org/folder", "config.json", first) == before[model / "config.json"]


def test_xet_is_refused_with_what_to_do(api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import get_session

    answer = get_session().get(f"{api.endpoint}/api/models/{repo}/xet-write-token/main")
    assert answer.status_code == 501
    assert "set HF_HUB_DISABLE_XET=1, and the client uses plain HTTP" in answer.json()["error"]
