"""Layouts: where a model can be, and whether a folder contains any model."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.files.layouts import Layout, cache_folders, first_model, plain_folders
from modelenv.references import ModelRef

REF = ModelRef("org/name")
COMMIT = "0" * 40


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_places_of_a_model_with_an_organisation() -> None:
    root = Path("/models")
    assert [cache.path for cache in cache_folders(root, REF)] == [
        root / "models--org--name",
        root / "hub" / "models--org--name",
    ]
    assert plain_folders(root, REF) == (
        (Layout.ORGANISATION, root / "org" / "name"),
        (Layout.PLAIN, root / "name"),
    )


def test_the_places_of_a_model_without_one() -> None:
    root = Path("/models")
    assert cache_folders(root, ModelRef("gpt2"))[0].path == root / "models--gpt2"
    assert plain_folders(root, ModelRef("gpt2")) == ((Layout.PLAIN, root / "gpt2"),)


def test_the_value_of_a_layout_shows_its_form() -> None:
    assert [str(layout) for layout in Layout] == ["Hugging Face cache", "<root>/<org>/<name>", "<root>/<name>"]


@pytest.mark.parametrize(
    "place",
    [
        f"models--org--name/snapshots/{COMMIT}",
        f"hub/models--org--name/snapshots/{COMMIT}",
        "org/name",
        "name",
        "hub",
        "hub/name",
    ],
)
def test_a_model_is_found_in_every_layout(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "empty").mkdir()
    folder = model(tmp_path / place)
    assert first_model(tmp_path) == folder


@pytest.mark.parametrize(
    "place", [".locks/org", "a/b/c", "models--org--name", f"models--org--name/blobs/{COMMIT}", "hub/org/name"]
)
def test_a_configuration_elsewhere_is_not_a_model(tmp_path: Path, place: str) -> None:
    model(tmp_path / place)
    assert first_model(tmp_path) is None


def test_an_empty_folder_has_no_model(tmp_path: Path) -> None:
    assert first_model(tmp_path) is None
    assert first_model(tmp_path / "missing") is None
    (tmp_path / "file").touch()
    assert first_model(tmp_path / "file") is None


def test_a_snapshot_whose_blob_is_missing_is_not_a_model(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/missing")
    assert first_model(tmp_path) is None


def test_a_configuration_that_is_a_folder_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "name" / "config.json").mkdir(parents=True)
    assert first_model(tmp_path) is None


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "hub").symlink_to(tmp_path)
    assert first_model(tmp_path) is None
    folder = model(tmp_path / "name")
    found = first_model(tmp_path)
    assert found is not None
    assert found.resolve() == folder.resolve()
