"""Every route, with the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelenv.hub.http import reading
from modelenv.hub.repos.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub

PATHS = ["README.md", "config.json", "model.safetensors", "parts/deep/empty.txt", "parts/größe 1.txt", "vocab.txt"]


@pytest.fixture
def api(hub: EmbeddedHub, client_cache: Path) -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=False)


def test_model_info(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    snapshot = Repository("org/name", model).snapshot()
    info = api.model_info("org/name", files_metadata=True)
    assert (info.id, info.author, info.sha, info.last_modified) == (
        "org/name",
        "org",
        snapshot.commit,
        info.last_modified,
    )
    assert (info.pipeline_tag, info.library_name) == ("text-classification", "transformers")
    assert info.safetensors is not None
    assert info.safetensors.total == 10
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"
    assert info.siblings is not None
    assert {sibling.rfilename: sibling.size for sibling in info.siblings} == {
        path: (model / path).stat().st_size for path in PATHS
    }
    weights = next(sibling for sibling in info.siblings if sibling.lfs is not None)
    assert (weights.rfilename, weights.lfs.sha256) == (
        "model.safetensors",
        snapshot.files["model.safetensors"].sha256,
    )
    assert [(request.kind, request.repo_id) for request in hub.requests] == [("info", "org/name")]


def test_model_info_of_a_revision_and_with_expand(api: HfApi) -> None:
    commit = api.model_info("org/name").sha
    assert commit is not None
    assert api.model_info("org/name", revision=commit).sha == commit
    some = api.model_info("org/name", expand=["sha", "pipeline_tag", "inference"])
    assert (some.sha, some.pipeline_tag, some.inference, some.siblings) == (
        commit,
        "text-classification",
        None,
        None,
    )


def test_existence(api: HfApi) -> None:
    assert api.repo_exists("org/name")
    assert not api.repo_exists("org/nothing")
    assert api.revision_exists("org/name", "main")
    assert not api.revision_exists("org/name", "v9")
    assert api.file_exists("org/name", "parts/größe 1.txt")
    assert not api.file_exists("org/name", "nothing.json")
    assert not api.file_exists("org/nothing", "config.json")


def test_files_and_trees(api: HfApi) -> None:
    from huggingface_hub.hf_api import RepoFile, RepoFolder

    assert sorted(api.list_repo_files("org/name")) == PATHS
    top = {entry.path: type(entry) for entry in api.list_repo_tree("org/name")}
    assert top == {
        "README.md": RepoFile,
        "config.json": RepoFile,
        "model.safetensors": RepoFile,
        "vocab.txt": RepoFile,
        "parts": RepoFolder,
    }
    inner = list(api.list_repo_tree("org/name", "parts", expand=True, recursive=True))
    assert [entry.path for entry in inner] == ["parts/deep", "parts/deep/empty.txt", "parts/größe 1.txt"]
    assert {entry.last_commit.oid for entry in inner if entry.last_commit} == {api.model_info("org/name").sha}


@pytest.mark.slow
def test_a_large_tree_comes_in_pages(
    api: HfApi, hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (reading._TREE_PAGE, reading._EXPANDED_TREE_PAGE) == (1000, 50)
    monkeypatch.setattr(reading, "_TREE_PAGE", 100)
    monkeypatch.setattr(reading, "_EXPANDED_TREE_PAGE", 5)
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(105):
        (folder / f"{number:04}.txt").write_text("")
    hub.add(folder, "large")
    assert len(api.list_repo_files("large")) == 105
    assert len(list(api.list_repo_tree("large", expand=True))) == 105
    assert [request.kind for request in hub.requests] == ["tree"] * (2 + 21)


def test_paths_info(api: HfApi, model: Path) -> None:
    from huggingface_hub.hf_api import RepoFile, RepoFolder

    weights, parts = api.get_paths_info("org/name", ["model.safetensors", "parts", "nothing"], expand=True)
    assert isinstance(weights, RepoFile)
    assert isinstance(parts, RepoFolder)
    assert weights.lfs is not None
    assert weights.size == weights.lfs.size == (model / "model.safetensors").stat().st_size


def test_references(api: HfApi) -> None:
    references = api.list_repo_refs("org/name", include_pull_requests=True)
    assert [(branch.name, branch.ref) for branch in references.branches] == [("main", "refs/heads/main")]
    assert references.branches[0].target_commit == api.model_info("org/name").sha
    assert references.tags == references.converts == references.pull_requests == []
    assert api.list_repo_refs("org/name").pull_requests is None


def test_lists_of_models(api: HfApi, hub: EmbeddedHub, tmp_path: Path, make_model: Callable[[Path], Path]) -> None:
    for name in ("zeta", "org/other", "else/Name-2"):
        hub.add(make_model(tmp_path / "more" / name), name)

    def found(**query: object) -> list[str]:
        return [info.id for info in api.list_models(**query)]

    assert found() == ["else/Name-2", "org/name", "org/other", "zeta"]
    assert found(search="NAME") == ["else/Name-2", "org/name"]
    assert found(author="org") == ["org/name", "org/other"]
    assert found(limit=3) == ["else/Name-2", "org/name", "org/other"]
    assert found(filter="finance", pipeline_tag="text-classification", author="else") == ["else/Name-2"]
    assert found(filter="music") == []


def test_the_errors_for_missing_things(api: HfApi) -> None:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    with pytest.raises(RepositoryNotFoundError, match="Invalid username or password"):
        api.model_info("org/nothing")
    with pytest.raises(RepositoryNotFoundError, match="404 Client Error"):
        api.model_info("org/nothing", token="hf_something")
    with pytest.raises(RepositoryNotFoundError):
        api.list_repo_refs("nothing")
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id: v9"):
        api.model_info("org/name", revision="v9")
    with pytest.raises(RevisionNotFoundError):
        api.get_paths_info("org/name", ["config.json"], revision="refs/pr/1")
    with pytest.raises(RemoteEntryNotFoundError, match="additional does not exist on 'main'"):
        list(api.list_repo_tree("org/name", "additional"))
    with pytest.raises(HfHubHTTPError, match="GET /api/kernels/org/name is not served") as caught:
        api.kernel_info("org/name")
    assert caught.value.response.status_code == 501


def test_the_file_system(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=hub.endpoint, token=False, skip_instance_cache=True)
    assert sorted(files.ls("org/name", detail=False)) == [
        "org/name/README.md",
        "org/name/config.json",
        "org/name/model.safetensors",
        "org/name/parts",
        "org/name/vocab.txt",
    ]
    assert files.isdir("org/name/parts")
    assert not files.exists("org/name/nothing")
    content = (model / "vocab.txt").read_bytes()
    assert files.cat_file("org/name/vocab.txt", start=100, end=130) == content[100:130]
    with files.open("org/name@main/vocab.txt", "rb", block_size=512) as stream:
        stream.seek(1000)
        assert stream.read(20) == content[1000:1020]
    resolved = [request for request in hub.requests if request.kind == "resolve"]
    assert [request.status for request in resolved] == [206, 206]
    assert [str(request.range).split("-")[0] for request in resolved] == ["bytes=100", "bytes=1000"]


def test_the_headers_of_weights_are_read_by_range(api: HfApi, hub: EmbeddedHub) -> None:
    metadata = api.get_safetensors_metadata("org/name")
    assert metadata.parameter_count == {"F32": 8, "I64": 2}
    assert {request.status for request in hub.requests if request.method == "GET"} == {206}


def test_the_client_verifies_a_download(api: HfApi, client_cache: Path, tmp_path: Path) -> None:
    folder = api.snapshot_download("org/name", local_dir=tmp_path / "local")
    checked = api.verify_repo_checksums("org/name", local_dir=folder)
    assert (checked.checked_count, checked.mismatches, checked.missing_paths) == (6, [], [])


def test_telemetry_and_agents_are_answered(api: HfApi, hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import _detect_agent, _telemetry

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)

    _telemetry._send_telemetry_in_thread("examples/one")
    assert _detect_agent._load_registry() == {"standardEnvVars": [], "harnesses": {}}
    assert [(request.method, request.path, request.status) for request in hub.requests] == [
        ("HEAD", "/api/telemetry/examples/one", 200),
        ("GET", "/api/agent-harnesses", 200),
    ]


def test_the_files_of_a_dataset(api: HfApi, hub: EmbeddedHub, tmp_path: Path) -> None:
    from pathlib import Path

    from huggingface_hub.errors import RepositoryNotFoundError

    folder = tmp_path / "data"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "one.csv").write_text("a,b\n1,2\n")
    hub.add(folder, "org/name", repo_type="dataset")  # a model has this id, too
    info = api.dataset_info("org/name")
    assert (info.id, [sibling.rfilename for sibling in info.siblings or []]) == ("org/name", ["parts/one.csv"])
    assert [found.id for found in api.list_datasets()] == ["org/name"]
    down = Path(api.snapshot_download("org/name", repo_type="dataset", local_dir=tmp_path / "down"))
    assert (down / "parts" / "one.csv").read_text() == "a,b\n1,2\n"
    hub.remove("org/name", repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("org/name")
    assert api.model_info("org/name").library_name == "transformers"


def test_ids_are_case_insensitive(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    from pathlib import Path

    path = api.hf_hub_download("ORG/Name", "vocab.txt")
    assert Path(path).read_bytes() == (model / "vocab.txt").read_bytes()
    assert [request.status for request in hub.requests] == [307, 200, 200]


def test_commits_and_rate_limit_headers(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    from huggingface_hub.utils import get_session
    from huggingface_hub.utils._http import parse_ratelimit_headers

    first = api.model_info("org/name").sha
    (model / "vocab.txt").write_text("changed")
    commits = api.list_repo_commits("org/name")
    assert [(commit.title, commit.authors) for commit in commits] == [("Served from a folder", ["modelenv"])] * 2
    assert commits[1].commit_id == first
    entries = {entry.path: entry.last_commit for entry in api.list_repo_tree("org/name", expand=True)}
    assert {path: last.oid == first for path, last in entries.items() if last} == {
        "parts": True,
        "README.md": True,
        "config.json": True,
        "model.safetensors": True,
        "vocab.txt": False,
    }
    answer = get_session().get(f"{hub.endpoint}/api/models/org/name")
    told = parse_ratelimit_headers(answer.headers)
    assert told is not None
    assert (told.resource_type, told.limit, told.window_seconds) == ("api", 500, 300)
    assert told.remaining == 500 - sum(request.kind != "resolve" for request in hub.requests)
    assert (
        get_session()
        .get(f"{hub.endpoint}/api/models/org/name", headers={"X-Request-Id": "mine"})
        .headers["x-request-id"]
        == "mine"
    )
