"""The weights that config.json and the indexes name must be in the folder, and must not be pickled."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.errors import ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.store.model_files import ModelFiles
from modelenv.store.model_folder import check_model_folder
from modelenv.store.weights import check_weights, weights_named

HEADER = b'{"a": {"dtype": "U8", "shape": [24], "data_offsets": [0, 24]}}'
WHOLE = struct.pack("<Q", len(HEADER)) + HEADER + bytes(24)
OUTSIDE = ["/x.safetensors", "../x.safetensors", "a/../../x.safetensors", "..", "a\\x.safetensors", "x\0.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete model."""
    folder = tmp_path / "store" / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(WHOLE)
    return folder


def check(folder: Path, locked: list[str] | None = None, *, allow_pickle: bool = False) -> None:
    root = folder.parent.parent
    check_model_folder(folder, root=root, model="org/name", allow_pickle=allow_pickle, locked=locked)


def refuse(folder: Path, kind: type[ModelEnvError], locked: list[str] | None = None) -> str:
    with pytest.raises(kind) as caught:
        check(folder, locked)
    assert type(caught.value) is kind
    return str(caught.value)


def write_index(path: Path, *shards: str) -> None:
    path.parent.mkdir(exist_ok=True)
    names = {str(number): shard for number, shard in enumerate(shards)}
    path.write_text(json.dumps({"metadata": {}, "weight_map": names}))


def name_weights(folder: Path, value: object) -> None:
    (folder / "config.json").write_text(json.dumps({"transformers_weights": value}))


@pytest.mark.parametrize("shard", OUTSIDE)
@pytest.mark.parametrize(
    "index",
    [
        "model.safetensors.index.json",  # not read: model.safetensors comes first
        "pytorch_model.bin.index.json",
        "other.safetensors.index.json",
        "unet/diffusion_pytorch_model.safetensors.index.json",
    ],
)
def test_no_index_names_weights_outside_of_the_folder(folder: Path, index: str, shard: str) -> None:
    write_index(folder / index, shard)
    assert refuse(folder, UnsafeModelError) == (
        "org/name: a file of the model names weights outside of the model's folder\n"
        f"  expected: names of files in the folder\n  found: {folder}/{index} names {shard!r}\n"
        "  what to do: do not load this model: whoever can write to that place controls its output"
    )


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_that_names_weights_outside_is_refused(folder: Path, index: str) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    write_index(folder / index, "model-1.safetensors", "/x.safetensors")
    with pytest.raises(UnsafeModelError, match=r"names '/x\.safetensors'"):
        check(folder, allow_pickle=True)


@pytest.mark.parametrize("value", OUTSIDE)
def test_a_configuration_that_names_weights_outside_is_refused(folder: Path, value: str) -> None:
    name_weights(folder, value)
    assert f"{folder}/config.json names {value!r}" in refuse(folder, UnsafeModelError)


@pytest.mark.parametrize("value", [3, "", ["model.safetensors"], True])
def test_the_name_of_the_weights_must_be_text(folder: Path, value: object) -> None:
    name_weights(folder, value)
    assert refuse(folder, ModelIntegrityError) == (
        f"org/name: a file is damaged: the name of its weights is not text\n  found: {folder}/config.json"
    )


def test_weights_that_the_configuration_names(folder: Path) -> None:
    name_weights(folder, "x.safetensors")
    assert f"found: no {folder}/x.safetensors" in refuse(folder, ModelIntegrityError)
    (folder / "x.safetensors").write_bytes(WHOLE[:-1])
    assert "the weights are truncated" in refuse(folder, ModelIntegrityError)
    (folder / "x.safetensors").write_bytes(WHOLE)
    check(folder)
    assert "found: no" in refuse(folder, ModelIntegrityError, ["config.json", "model.safetensors"])


def test_an_index_that_the_configuration_names(folder: Path) -> None:
    name_weights(folder, "x.safetensors.index.json")
    write_index(folder / "x.safetensors.index.json", "x-1.safetensors", "parts/x-2.safetensors")
    (folder / "parts").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "x-1.safetensors")
    assert refuse(folder, ModelIntegrityError) == (
        f"org/name: 1 of 2 weight files are missing\n  found: no {folder}/parts/x-2.safetensors\n"
        "  what to do: get the missing files from the same place as the others; the model is incomplete without them"
    )
    (folder / "parts/x-2.safetensors").write_bytes(WHOLE[:-1])
    assert "the weights are truncated" in refuse(folder, ModelIntegrityError)
    (folder / "parts/x-2.safetensors").write_bytes(WHOLE)
    check(folder)


@pytest.mark.parametrize("shard", ["model-1.bin", "model-1.pt", "model-1", "adapter.pkl"])
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json", "explicit"])
def test_pickled_shards_are_loaded_only_if_that_is_allowed(folder: Path, index: str, shard: str) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    if index == "explicit":
        index = "x.safetensors.index.json"
        name_weights(folder, index)
    write_index(folder / index, "other.safetensors", shard)
    (folder / shard).write_bytes(b"a pickle")
    said = refuse(folder, UnsafeModelError)
    assert said.startswith("org/name: its weights are pickled, and loading a pickle runs the code in it\n")
    check(folder, allow_pickle=True)


def test_a_pickle_that_the_configuration_names(folder: Path) -> None:
    name_weights(folder, "adapter_model.bin")  # the one name without safetensors that transformers takes
    (folder / "adapter_model.bin").write_bytes(b"a pickle")
    assert f"found: adapter_model.bin in {folder}" in refuse(folder, UnsafeModelError)


def test_only_locked_weights_are_loaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model-2.safetensors").write_bytes(WHOLE)
    write_index(folder / "model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors")
    locked = ["config.json", "model.safetensors.index.json", "model-1.safetensors"]
    check(folder)
    assert f"found: no {folder}/model-2.safetensors" in refuse(folder, ModelIntegrityError, locked)
    check(folder, [*locked, "model-2.safetensors"])


def test_an_unread_index_without_its_shards_is_harmless(folder: Path) -> None:
    for index in (
        "pytorch_model.bin.index.json",
        "consolidated.safetensors.index.json",
        "unet/x.safetensors.index.json",
    ):
        write_index(folder / index, "gone-1.safetensors")
    (folder / "broken.safetensors.index.json").write_text("{")
    check(folder)


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin"], ["pytorch_model.bin"]),
        (["pytorch_model.bin", "model.safetensors.index.json"], ["s"]),
        (["pytorch_model.bin.index.json"], ["s"]),
        (["model.fp16.safetensors"], []),
        ([], []),
    ],
)
def test_weights_are_read_in_the_order_of_transformers(names: list[str], read: list[str]) -> None:
    files = ModelFiles("m", "here", frozenset(names), lambda name, kind: {"weight_map": {"a": "s"}})
    assert weights_named(files) == frozenset(read)


def leave_nothing(path: Path) -> None:
    path.symlink_to("gone")


@pytest.mark.parametrize("make", [Path.mkdir, leave_nothing])
def test_weights_that_are_not_a_file_are_not_skipped_for_a_pickle(folder: Path, make: Callable[[Path], None]) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    make(folder / "model.safetensors")
    assert f"pytorch_model.bin in {folder}" in refuse(folder, UnsafeModelError)


def test_the_weights_of_a_listing_are_those_of_a_folder(folder: Path) -> None:
    files = ModelFiles.in_folder(folder, "org/name")
    assert check_weights(files, allow_pickle=False) == {"model.safetensors"}
