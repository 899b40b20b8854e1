"""A volume, which has plain folders and can be read-only: the client gets links to its verified files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError

import modelenv
from modelenv import ModelIntegrityError, ModelNotFoundError, Settings, force_environment
from modelenv.deadlines import Deadline
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.store.checks import Checks
from modelenv.store.store import Store
from modelenv.volume.filling import Volume

from .conftest import REPO, Install

Make = Callable[[], modelenv.Installation]


@pytest.fixture
def volume(hub: EmbeddedHub, locked: LockedModel, tmp_path: Path) -> Path:
    """A volume with the model."""
    store = Store(tmp_path / "filling")

    def obtain(model: LockedModel) -> Path:
        return obtain_locked(store, model, Deadline(60), fetches=True, checks=Checks()).path

    Volume(tmp_path / "volume").fill(Lockfile((locked,)), obtain, Deadline(60))
    hub.clear()
    return tmp_path / "volume"


def test_files_come_from_the_volume(
    hub: EmbeddedHub, install: Install, volume: Path, locked: LockedModel, tmp_path: Path
) -> None:
    installation = install("persistent_volume", volume_dir=volume)
    assert installation.refuses
    cache = installation.cache
    path = Path(hf_hub_download(REPO, "model.safetensors"))
    assert cache is not None
    assert path.is_relative_to(cache)
    assert path.resolve().is_relative_to(volume)
    for revision in ("main", locked.commit):
        folder = Path(snapshot_download(REPO, revision=revision))
        assert sorted(each.name for each in folder.iterdir()) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
        ]
    copy = Path(hf_hub_download(REPO, "model.safetensors", local_dir=tmp_path / "copy"))
    assert copy.read_bytes() == path.read_bytes()
    hub.assert_no_requests()
    modelenv.uninstall()
    assert not cache.exists()


def test_nothing_is_written_to_the_volume(install: Install, volume: Path) -> None:
    before = sorted(volume.rglob("*"))
    install("persistent_volume", volume_dir=volume)
    snapshot_download(REPO)
    assert sorted(volume.rglob("*")) == before


def test_files_that_are_not_on_the_volume_are_absent_and_models_are_refused(
    hub: EmbeddedHub, install: Install, volume: Path
) -> None:
    install("persistent_volume", volume_dir=volume)
    with pytest.raises(EntryNotFoundError, match=r"README\.md is not one of the files of acme/model in"):
        hf_hub_download(REPO, "README.md")
    with pytest.raises(ModelNotFoundError, match=r"a model and revision in .*/volume/model-metadata\.yaml"):
        hf_hub_download("acme/other", "config.json")
    hub.assert_no_requests()


def test_a_flipped_byte_on_the_volume_is_found(install: Install, volume: Path) -> None:
    weights = next(volume.rglob("model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    install("persistent_volume", volume_dir=volume)
    with pytest.raises(ModelIntegrityError, match=r"changed model\.safetensors") as error:
        hf_hub_download(REPO, "config.json")
    assert f"run `modelenv pull --to {volume}`" in str(error.value)


def test_in_offline_mode_all_is_verified_at_once(
    hub: EmbeddedHub, project: Path, volume: Path, locked: LockedModel
) -> None:
    settings = Settings.load(source="persistent_volume", project_dir=project, volume_dir=volume)
    with force_environment(variables={"HF_HUB_OFFLINE": "1"}), modelenv.install(settings=settings):
        path = Path(hf_hub_download(REPO, "config.json"))
        assert path.parent.name == locked.commit
        assert hf_hub_download(REPO, "config.json", revision=locked.commit) == str(path)
    hub.assert_no_requests()


def test_a_volume_without_metadata_is_compared_with_the_projects_lock(
    hub: EmbeddedHub, install: Install, volume: Path, folder: Path, tmp_path: Path
) -> None:
    by_hand = tmp_path / "by-hand" / "acme" / "model"
    by_hand.parent.mkdir(parents=True)
    next(volume.rglob("config.json")).parent.rename(by_hand)
    install("persistent_volume", volume_dir=tmp_path / "by-hand")
    assert Path(hf_hub_download(REPO, "config.json")).resolve() == by_hand / "config.json"
    (by_hand / "config.json").chmod(0o644)
    (by_hand / "config.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match="nothing is downloaded in this environment"):
        hf_hub_download(REPO, "tokenizer.json")
    hub.assert_no_requests()


def test_a_commit_that_is_not_on_the_volume_is_an_error(install: Install, volume: Path, tmp_path: Path) -> None:
    (volume / "model-metadata.yaml").unlink()
    install("persistent_volume", volume_dir=volume)
    with pytest.raises(ModelIntegrityError, match="the volume is incomplete"):
        hf_hub_download(REPO, "config.json")
