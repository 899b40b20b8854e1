"""Changes to whole repositories with the real client: create, move, settings, branches, tags, squash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub

# The client uploads large files in a way that its HTTP library warns about.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")


def content(api: HfApi, repo: str, path: str, revision: str | None = None) -> bytes:
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


def test_a_moved_repository_is_found_under_its_old_id(api: HfApi, repo: str) -> None:
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
    api.move_repo("org/moved", "ada/again")
    for former in (repo, "org/moved"):
        assert api.model_info(former).id == "ada/again"
        assert content(api, former, "a.txt") == b"1"
    api.delete_repo("ada/again")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(repo)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("ada/again")


def test_access_to_a_repository_survives_a_move(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    from huggingface_hub.errors import GatedRepoError

    friend, stranger = hub.token("bob", access=[repo]), hub.token("eve")
    api.update_repo_settings(repo, gated="auto")
    api.move_repo(repo, "ada/moved")
    api.auth_check("ada/moved", token=friend)
    with pytest.raises(GatedRepoError):
        api.auth_check("ada/moved", token=stranger)


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


def test_own_repositories_and_those_of_an_organisation(api: HfApi, model: Path) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api.create_repo("mine")
    api.create_repo("data", repo_type="dataset", private=True)
    own = list(api.list_user_repos())
    assert [(info.type, info.id, info.visibility) for info in own] == [
        ("model", "ada/mine", "public"),
        ("dataset", "ada/data", "private"),
    ]
    assert sum(info.storage_percent for info in own) == pytest.approx(100)
    (served,) = api.list_user_repos(namespace="org")
    assert (served.id, served.storage_percent) == ("org/name", 100)
    assert served.storage == sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    with pytest.raises(HfHubHTTPError, match="ada is not a member of acme"):
        list(api.list_user_repos(namespace="acme"))
    with pytest.raises(HfHubHTTPError, match="401"):
        list(api.list_user_repos(token=False))
