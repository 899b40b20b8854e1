"""The client of `huggingface_hub` gets the locked files from the store, without requests if they are there."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from modelenv import force_environment
from modelenv.errors import ModelDownloadError, ModelIntegrityError, ModelNotFoundError
from modelenv.hub import EmbeddedHub
from modelenv.locks.values import LockedModel

from .conftest import REPO, Install, asked

FILES = ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_file_is_fetched_once_and_then_without_requests(
    hub: EmbeddedHub, install: Install, folder: Path, locked: LockedModel, project: Path
) -> None:
    installation = install()
    path = Path(hf_hub_download(REPO, "model.safetensors"))
    assert path == project / f"cache/models--acme--model/snapshots/{locked.commit}/model.safetensors"
    assert path.read_bytes() == (folder / "model.safetensors").read_bytes()
    assert asked(hub) == ["GET resolve model.safetensors"]
    hub.clear()
    for revision in (None, "main", "refs/heads/main", locked.commit[:8], locked.commit):
        assert hf_hub_download(REPO, "model.safetensors", revision=revision) == str(path)
    hub.assert_no_requests()
    assert installation.answered >= 3
    assert installation.passed_through == {}


def test_a_snapshot_has_the_locked_files(hub: EmbeddedHub, install: Install, locked: LockedModel) -> None:
    install()
    folder = Path(snapshot_download(REPO))
    assert folder.name == locked.commit
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert sorted(asked(hub)) == [f"GET resolve {name}" for name in FILES]
    hub.stop()
    assert snapshot_download(REPO) == str(folder)
    assert snapshot_download(REPO, revision=locked.commit) == str(folder)


def test_another_spelling_of_the_id_is_the_same_model(
    hub: EmbeddedHub, install: Install, folder: Path, locked: LockedModel
) -> None:
    (folder / "config.json").write_text('{"model_type": "other"}')
    hub.add(folder, REPO)
    installation = install()
    snapshot = Path(snapshot_download("Acme/Model"))
    assert snapshot.name == locked.commit
    assert hf_hub_download("Acme/Model", "config.json") == str(snapshot / "config.json")
    assert "other" not in (snapshot / "config.json").read_text()
    assert sorted(asked(hub)) == [f"GET resolve {name}" for name in FILES]
    assert installation.passed_through == {}


def test_the_client_keeps_no_listing_without_the_files_that_are_not_locked(install: Install, project: Path) -> None:
    install()
    snapshot_download(REPO)
    assert not list((project / "cache").rglob("trees/*.json"))


def test_a_branch_that_moves_changes_nothing(
    hub: EmbeddedHub, install: Install, folder: Path, locked: LockedModel
) -> None:
    (folder / "config.json").write_text('{"model_type": "other"}')
    hub.add(folder, REPO)
    install()
    path = Path(hf_hub_download(REPO, "config.json"))
    assert path.parent.name == locked.commit
    assert "other" not in path.read_text()
    assert HfApi().model_info(REPO).sha == locked.commit
    assert asked(hub) == ["GET resolve config.json"]


@pytest.mark.parametrize("revision", [None, "commit"])
def test_a_flipped_byte_is_found_before_it_is_loaded(
    hub: EmbeddedHub, install: Install, folder: Path, locked: LockedModel, revision: str | None
) -> None:
    with install():
        path = Path(hf_hub_download(REPO, "model.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().write_bytes(content)
    install()
    again = Path(hf_hub_download(REPO, "model.safetensors", revision=revision and locked.commit))
    assert again.read_bytes() == (folder / "model.safetensors").read_bytes()
    assert asked(hub) == ["GET resolve model.safetensors"]


def test_a_damaged_file_that_cannot_be_fetched_again_is_an_error(hub: EmbeddedHub, install: Install) -> None:
    with install():
        path = Path(hf_hub_download(REPO, "model.safetensors"))
    install()
    path.resolve().write_bytes(b"damaged")
    hub.stop()
    with pytest.raises(ModelDownloadError, match="acme/model"):
        hf_hub_download(REPO, "model.safetensors")


def test_a_damaged_file_in_a_store_that_is_only_read_is_an_error(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    with install():
        path = Path(hf_hub_download(REPO, "model.safetensors"))
    path.resolve().write_bytes(b"damaged")
    monkeypatch.setattr("modelenv.store.store.Store.is_read_only", lambda store: True)
    with pytest.raises(ModelIntegrityError, match=r"changed model\.safetensors"):
        install()
    with pytest.raises(ModelIntegrityError, match=r"changed model\.safetensors"):
        install()


def test_a_file_that_the_commit_lacks_is_absent(hub: EmbeddedHub, install: Install, project: Path) -> None:
    install()
    for name in ("adapter_config.json", "sub/config.json"):
        with pytest.raises(RemoteEntryNotFoundError, match="does not exist at this commit"):
            hf_hub_download(REPO, name)
    assert not list((project / "cache").rglob(".no_exist"))  # only the Hub knows for all programs
    hub.assert_no_requests()


def test_a_file_that_is_not_locked_is_fetched_at_the_locked_commit(
    hub: EmbeddedHub, install: Install, folder: Path, locked: LockedModel
) -> None:
    (folder / "README.md").write_text("# Another\n")
    hub.add(folder, REPO)
    installation = install()
    path = Path(hf_hub_download(REPO, "README.md"))
    assert path.read_text() == "# A model\n"
    assert {request.revision for request in hub.requests} == {locked.commit}
    assert {str(what): count for what, count in installation.passed_through.items()} == {
        "acme/model@main: README.md": 2
    }
    hub.stop()
    assert hf_hub_download(REPO, "README.md") == str(path)


def test_a_file_that_is_not_locked_and_damaged_is_fetched_again(
    hub: EmbeddedHub, install: Install, folder: Path, locked: LockedModel
) -> None:
    install()
    path = Path(hf_hub_download(REPO, "README.md"))
    path.resolve().write_text("damaged")
    hub.clear()
    hf_hub_download(REPO, "README.md", force_download=True)
    assert path.read_bytes() == (folder / "README.md").read_bytes()
    assert asked(hub) == ["HEAD resolve README.md", "GET resolve README.md"]


def test_a_file_that_is_not_locked_and_absent_is_asked_for_once(hub: EmbeddedHub, install: Install) -> None:
    install()
    for _ in range(2):
        with pytest.raises(RemoteEntryNotFoundError):
            hf_hub_download(REPO, "model.onnx")
    assert asked(hub) == ["HEAD resolve model.onnx"]


def test_another_cache_or_folder_gets_the_verified_bytes(
    hub: EmbeddedHub, install: Install, folder: Path, tmp_path: Path
) -> None:
    install()
    snapshot_download(REPO)
    hub.stop()
    content = (folder / "model.safetensors").read_bytes()
    path = Path(hf_hub_download(REPO, "model.safetensors", cache_dir=tmp_path / "other"))
    assert path.read_bytes() == content
    assert path.is_relative_to(tmp_path / "other")
    path = Path(hf_hub_download(REPO, "model.safetensors", local_dir=tmp_path / "folder"))
    assert path.read_bytes() == content
    assert Path(snapshot_download(REPO, cache_dir=tmp_path / "third"), "config.json").is_file()
    assert hf_hub_download(REPO, "model.safetensors", force_download=True).endswith("model.safetensors")


def test_loads_from_the_cache_alone_get_the_locked_commit(hub: EmbeddedHub, install: Install, project: Path) -> None:
    with install():
        path = Path(hf_hub_download(REPO, "config.json"))
    reference = project / "cache/models--acme--model/refs/main"
    reference.write_text("0" * 40)
    install()
    hub.stop()
    assert hf_hub_download(REPO, "config.json", local_files_only=True) == str(path)


def test_the_api_answers_from_the_lock(hub: EmbeddedHub, install: Install, locked: LockedModel) -> None:
    install()
    api = HfApi()
    info = api.model_info(REPO, files_metadata=True)
    assert (info.sha, info.id, info.library_name) == (locked.commit, REPO, "transformers")
    assert {each.rfilename: each.size for each in info.siblings or ()} == {f.path: f.size for f in locked.files}
    assert sorted(api.list_repo_files(REPO)) == FILES
    assert [entry.path for entry in api.list_repo_tree(REPO, recursive=True)] == FILES
    [entry] = api.get_paths_info(REPO, ["model.safetensors", "none"])
    assert (entry.size, entry.lfs.sha256) == (locked.files[1].size, locked.files[1].sha256)
    assert api.file_exists(REPO, "config.json")
    assert not api.file_exists(REPO, "processor_config.json")
    assert api.repo_exists(REPO)
    assert api.revision_exists(REPO, locked.commit)
    hub.stop()
    assert api.model_info(REPO, expand=["sha"]).sha == locked.commit


def test_many_threads_download_once(hub: EmbeddedHub, install: Install) -> None:
    install()
    barrier = threading.Barrier(20)

    def load(number: int) -> str:
        barrier.wait(60)
        return hf_hub_download(REPO, FILES[number % 3])

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(load, range(20)))) == 3
    assert sorted(asked(hub)) == [f"GET resolve {name}" for name in FILES]


def test_a_cache_that_others_filled_is_verified_and_used(
    hub: EmbeddedHub, install: Install, project: Path, tmp_path: Path
) -> None:
    snapshot_download(REPO, cache_dir=project / "cache")
    installation = install()
    assert Path(snapshot_download(REPO), "README.md").is_file()  # listed in the cache by the client itself
    hub.assert_no_requests()
    assert installation.cache == project / "cache" == Path(constants.HF_HUB_CACHE)


def test_the_store_can_have_the_models_in_plain_folders(
    hub: EmbeddedHub, install: Install, folder: Path, project: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, project / "cache/acme/model")
    install()
    hub.stop()
    path = hf_hub_download(REPO, "config.json", cache_dir=tmp_path / "other")
    assert Path(path).read_bytes() == (folder / "config.json").read_bytes()


def test_in_offline_mode_the_cache_is_verified_when_installing(
    hub: EmbeddedHub, install: Install, locked: LockedModel, project: Path
) -> None:
    with install():
        folder = Path(snapshot_download(REPO))
    (project / "cache/models--acme--model/refs/main").unlink()
    hub.stop()
    with force_environment(variables={"HF_HUB_OFFLINE": "1"}):
        with install():
            assert snapshot_download(REPO) == str(folder)
            assert hf_hub_download(REPO, "config.json") == str(folder / "config.json")
        (folder / "config.json").resolve().write_text("damaged")
        with pytest.raises(ModelIntegrityError, match=r"changed config\.json") as error:
            install()
    assert "unset HF_HUB_OFFLINE" in str(error.value)


@pytest.fixture
def newest(hub: EmbeddedHub, folder: Path, locked: LockedModel, project: Path) -> str:
    """A commit after the locked one, which another program has fetched by its plain name."""
    (folder / "config.json").write_text('{"model_type": "bert", "newest": true}')
    hub.add(folder, REPO)
    commit = Path(snapshot_download(REPO, cache_dir=project / "cache")).name
    assert commit != locked.commit
    return commit


def test_offline_a_reference_to_another_commit_is_an_error(
    install: Install, newest: str, locked: LockedModel, project: Path
) -> None:
    reference = project / "cache/models--acme--model/refs/main"
    with force_environment(variables={"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelNotFoundError) as error:
        install()
    assert str(error.value).splitlines() == [
        "acme/model: a load in offline mode would get another commit than the locked one",
        f"  expected: commit {locked.commit}",
        f"  found: commit {newest}, which {reference} names",
        "  what to do: run `modelenv pull` where the Hub can be reached",
    ]
    assert reference.read_text() == newest


def test_a_reference_to_another_commit_stays_with_a_warning_until_the_locked_one_is_there(
    install: Install, newest: str, locked: LockedModel, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reference = project / "cache/models--acme--model/refs/main"
    with install():
        assert f"a load without requests gets commit {newest[:12]}, which {reference} names" in caplog.text
        assert reference.read_text() == newest
        path = hf_hub_download(REPO, "config.json")
        assert Path(path).parent.name == reference.read_text() == locked.commit
        assert hf_hub_download(REPO, "config.json", local_files_only=True) == path
    reference.write_text(newest)
    caplog.clear()
    install()
    assert hf_hub_download(REPO, "config.json", local_files_only=True) == path
    assert "a load without requests" not in caplog.text


def test_offline_a_store_that_is_only_read_must_have_the_reference(
    install: Install, newest: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with install():
        hf_hub_download(REPO, "config.json")
    (project / "cache/models--acme--model/refs/main").write_text(newest)
    monkeypatch.setattr("modelenv.store.store.Store.is_read_only", lambda store: True)
    match = r"what to do: make .*/refs writable"
    with force_environment(variables={"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelNotFoundError, match=match):
        install()
