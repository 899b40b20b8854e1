"""The weights that a test with fakes can load."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modelenv.guards.own_models import OwnModels, is_in_hub_cache


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder in a project that is not new and does not belong to the tests."""
    return write_model(tmp_path / "project" / "models" / "bert")


def write_model(folder: Path) -> Path:
    (folder / "part").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    (folder / "part" / "pytorch_model.bin").write_bytes(bytes(1000))
    return folder


def of_run(tmp_path: Path, *test_paths: str, started: float = float("inf"), temporary: str = "run") -> OwnModels:
    root = tmp_path / "project"
    return OwnModels(root, tuple(root / path for path in test_paths), lambda: started, lambda: [tmp_path / temporary])


def test_older_weights_do_not_belong_to_the_run(tmp_path: Path, model: Path) -> None:
    assert not of_run(tmp_path).include(model)
    assert not of_run(tmp_path).include(model / "model.safetensors")
    assert not of_run(tmp_path, ".").include(model)


def test_weights_that_the_run_wrote_belong_to_it_anywhere(tmp_path: Path, model: Path) -> None:
    files = (model / "model.safetensors", model / "part" / "pytorch_model.bin")
    first, last = sorted(file.stat().st_ctime for file in files)
    assert of_run(tmp_path, started=first).include(model)
    assert not of_run(tmp_path, started=last + 1).include(model)
    (tmp_path / "link").symlink_to(model)
    assert not of_run(tmp_path, started=last + 1).include(tmp_path / "link")


def test_without_weights_there_is_nothing_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert of_run(tmp_path).include(tmp_path)


def test_the_folders_of_the_run(tmp_path: Path) -> None:
    assert of_run(tmp_path).include(write_model(tmp_path / "run" / "test_one0"))
    assert not of_run(tmp_path).include(write_model(tmp_path / "run-before" / "test_one0"))


@pytest.mark.parametrize("place", ["tests/model", "tests/data/model", "pkg/test/model", "checks/model"])
def test_small_models_among_the_tests(tmp_path: Path, place: str) -> None:
    models = of_run(tmp_path, "checks")
    small = write_model(tmp_path / "project" / place)
    assert models.include(small)
    assert models.include(small / "model.safetensors")
    with (small / "model.safetensors").open("ab") as file:
        file.truncate(17 << 20)
    assert not models.include(small)


def test_a_tests_folder_outside_of_the_project(tmp_path: Path, model: Path) -> None:
    assert not of_run(tmp_path).include(write_model(tmp_path / "tests" / "model"))
    (tmp_path / "project" / "tests").mkdir()
    link = tmp_path / "project" / "tests" / "model"
    link.symlink_to(model)
    assert not of_run(tmp_path).include(link)


def test_a_download_never_belongs_to_the_tests(tmp_path: Path) -> None:
    cache = tmp_path / "project" / "tests" / "cache"
    snapshot = write_model(cache / "models--acme--crypto" / "snapshots" / ("a" * 40))
    assert is_in_hub_cache(snapshot)
    assert not of_run(tmp_path, started=0).include(snapshot)
    assert of_run(tmp_path, temporary="project/tests/cache").include(snapshot), "into a folder of the run"
