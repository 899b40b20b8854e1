"""Requests for what is not locked: passed through and counted, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from modelenv import Installation, ModelNotFoundError
from modelenv.hub import EmbeddedHub
from modelenv.locks.values import LockedModel

from .conftest import REPO, Install, asked


@pytest.fixture
def others(hub: EmbeddedHub, folder: Path, locked: LockedModel) -> None:
    """Another model and a dataset, which are not locked."""
    hub.add(folder, "acme/other")
    hub.add(folder, "acme/data", repo_type="dataset")
    hub.clear()


def counts(installation: Installation) -> dict[str, int]:
    assert not (installation.passed_through and installation.refused)
    return {str(what): count for what, count in (installation.passed_through or installation.refused).items()}


@pytest.mark.usefixtures("others")
def test_others_pass_through_and_are_counted(hub: EmbeddedHub, install: Install, project: Path) -> None:
    installation = install()
    for repo, kind in (("acme/other", "model"), ("acme/data", "dataset")):
        path = hf_hub_download(repo, "README.md", repo_type=kind)
        assert Path(path).is_relative_to(project / "cache")
        HfApi().repo_info(repo, repo_type=kind)
    assert asked(hub) == ["HEAD resolve README.md", "GET resolve README.md", "GET info"] * 2
    assert counts(installation) == {
        "acme/other": 1, "acme/other@main": 2, "datasets/acme/data": 1, "datasets/acme/data@main": 2,
    }  # fmt: skip
    assert installation.answered == 0


def test_another_revision_passes_through(hub: EmbeddedHub, install: Install, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "other"}')
    hub.add(folder, REPO)
    installation = install()
    newest = HfApi().list_repo_commits(REPO)[0].commit_id
    hub.clear()
    path = hf_hub_download(REPO, "config.json", revision=newest)
    assert "other" in Path(path).read_text()
    assert asked(hub) == ["HEAD resolve config.json", "GET resolve config.json"]
    assert counts(installation) == {f"{REPO}@{newest}": 2}


def test_what_a_lock_does_not_say_passes_through_at_the_locked_commit(
    hub: EmbeddedHub, install: Install, locked: LockedModel
) -> None:
    installation = install()
    assert HfApi().model_info(REPO, expand=["downloads"]).downloads == 0
    assert [(request.kind, request.revision) for request in hub.requests] == [("info", locked.commit)]
    assert counts(installation) == {f"{REPO}: info": 1}


@pytest.mark.usefixtures("others")
def test_others_are_refused(hub: EmbeddedHub, install: Install, project: Path) -> None:
    installation = install(refuse=True)
    assert Path(hf_hub_download(REPO, "config.json")).is_file()
    hub.clear()
    with pytest.raises(ModelNotFoundError) as error:
        hf_hub_download("acme/other", "config.json")
    assert str(error.value) == (
        "acme/other@main: not locked, and requests for what is not locked are refused here\n"
        f"  expected: a model and revision in {project}/modelenv.lock\n"
        "  found: HEAD /acme/other/resolve/main/config.json\n"
        "  what to do: declare the model in [tool.modelenv.models], then run `modelenv lock`"
    )
    with pytest.raises(
        ModelNotFoundError, match="use the locked revision, main, or lock this one under another alias"
    ):
        hf_hub_download(REPO, "config.json", revision="v2")
    with pytest.raises(ModelNotFoundError, match="copy the dataset to where it is used, and load it from there"):
        hf_hub_download("acme/data", "README.md", repo_type="dataset")
    with pytest.raises(ModelNotFoundError, match="only the Hub has"):
        HfApi().model_info(REPO, expand=["downloads"])
    hub.assert_no_requests()
    assert counts(installation) == {
        "acme/other@main": 1, "acme/model@v2": 1, "datasets/acme/data@main": 1, "acme/model: info": 1,
    }  # fmt: skip


def test_a_file_that_is_not_locked_is_absent_where_others_are_refused(
    hub: EmbeddedHub, install: Install, project: Path
) -> None:
    installation = install(refuse=True)
    with pytest.raises(
        EntryNotFoundError, match=r"README\.md is not one of the files of acme/model in .*modelenv\.lock"
    ):
        hf_hub_download(REPO, "README.md")
    hub.assert_no_requests()
    assert counts(installation) == {"acme/model@main: README.md": 1}
    assert not list((project / "cache").rglob(".no_exist/*/*"))


def test_requests_that_read_no_repo_are_left_alone(hub: EmbeddedHub, install: Install) -> None:
    installation = install(refuse=True)
    assert list(HfApi().list_models(author="acme"))
    assert counts(installation) == {}


def test_the_clients_requests_about_its_users_are_refused_too(hub: EmbeddedHub, install: Install) -> None:
    from huggingface_hub.utils import get_session

    install(refuse=True)
    assert get_session().get(f"{hub.endpoint}/api/agent-harnesses").status_code == 404
    hub.assert_no_requests()


def test_the_first_write_to_a_locked_repo_is_a_warning(
    hub: EmbeddedHub, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install()
    api = HfApi(token=hub.token("acme"))
    for content in (b"One", b"Two"):
        api.upload_file(path_or_fileobj=content, path_in_repo="notes.txt", repo_id=REPO)
    warnings = [record.getMessage() for record in caplog.records if record.name == "modelenv"]
    assert [each for each in warnings if "writes" in each] == [
        "acme/model is locked, and this program writes to it. It reads the locked commit, which can be an old one: "
        "call modelenv.uninstall() before it reads what it changes"
    ]
