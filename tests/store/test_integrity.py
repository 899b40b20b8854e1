"""Whether a folder may be loaded: what is missing, damaged, unsafe or not to be read."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.store.model_folder import check_model_folder

INDEX = "model.safetensors.index.json"
HEADER = b'{"a": {"dtype": "U8", "shape": [24], "data_offsets": [0, 24]}}'
WHOLE = struct.pack("<Q", len(HEADER)) + HEADER + bytes(24)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def folder(root: Path) -> Path:
    """A complete model."""
    folder = root / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(WHOLE)
    return folder


def check(folder: Path, **arguments: Any) -> None:
    check_model_folder(folder, root=folder.parent.parent, model="org/name", **arguments)


def refuse(folder: Path, kind: type[ModelEnvError] = ModelIntegrityError, **arguments: Any) -> str:
    with pytest.raises(kind) as caught:
        check(folder, **arguments)
    assert type(caught.value) is kind
    return str(caught.value)


def make_sharded(folder: Path, weight_map: Any = None) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(WHOLE)
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / INDEX).write_text(json.dumps({"weight_map": names if weight_map is None else weight_map}))


def test_a_whole_model_is_fine(folder: Path) -> None:
    check(folder)


def test_a_sharded_model_is_fine(folder: Path) -> None:
    make_sharded(folder)
    check(folder)


def test_a_missing_shard(folder: Path) -> None:
    make_sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert refuse(folder) == (
        f"org/name: 1 of 2 weight files are missing\n  found: no {folder}/model-00002-of-00002.safetensors\n"
        "  what to do: get the missing files from the same place as the others; the model is incomplete without them"
    )


def test_a_damaged_shard(folder: Path) -> None:
    make_sharded(folder)
    (folder / "model-00002-of-00002.safetensors").write_bytes(WHOLE[:-1])
    assert "the weights are truncated" in refuse(folder)


@pytest.mark.parametrize("weight_map", [{"a": 3}, {"a": ["x"]}, {"a": ""}, {}, []])
def test_an_index_that_names_no_shards(folder: Path, weight_map: Any) -> None:
    make_sharded(folder, weight_map)
    assert refuse(folder) == (
        f"org/name: a file is damaged: it does not list its weight files\n  found: {folder}/{INDEX}"
    )


def test_an_index_that_is_not_used_is_not_held_against_the_model(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    (folder / "consolidated.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    check(folder)


def test_no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refuse(folder) == (
        f"org/name: the folder has no config.json\n  found: {folder}\n"
        "  what to do: a model's folder contains config.json, the tokenizer's files and model.safetensors"
    )


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_configuration_that_is_not_json(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert refuse(folder).startswith(f"org/name: a file is damaged: it is not JSON\n  found: {folder}/config.json: ")


@pytest.mark.parametrize("content", ["[]", "null", '"text"', "3"])
def test_a_configuration_that_is_not_an_object(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    assert refuse(folder) == (f"org/name: a file is damaged: it is not a JSON object\n  found: {folder}/config.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "model.ckpt", "x.pth"])
def test_pickles_only(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    assert refuse(folder, UnsafeModelError) == (
        "org/name: its weights are pickled, and loading a pickle runs the code in it\n"
        f"  expected: safetensors\n  found: {name} in {folder}\n"
        "  what to do: use a revision with safetensors, or, if you trust its author, "
        "call load_model(..., allow_pickle=True)"
    )
    check(folder, allow_pickle=True)


@pytest.mark.parametrize("other", ["consolidated.safetensors", "model.fp16.safetensors"])
def test_a_pickle_does_not_hide_behind_safetensors_that_are_not_loaded(folder: Path, other: str) -> None:
    (folder / "model.safetensors").rename(folder / other)
    (folder / "pytorch_model.bin").touch()
    assert f"  found: pytorch_model.bin in {folder}" in refuse(folder, UnsafeModelError)
    check(folder, allow_pickle=True)


def test_a_pickled_adapter_beside_the_weights(folder: Path) -> None:
    (folder / "adapter_model.bin").touch()
    assert f"  found: adapter_model.bin in {folder}" in refuse(folder, UnsafeModelError)
    shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
    check(folder)


def test_pickles_that_are_never_loaded_do_no_harm(folder: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).touch()
    check(folder)


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_no_weights(folder: Path, allow_pickle: bool) -> None:
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    assert refuse(folder, allow_pickle=allow_pickle) == (
        "org/name: it contains TensorFlow weights, which no transformers pipeline loads\n"
        f"  expected: model.safetensors or its shards\n  found: tf_model.h5 in {folder}\n"
        "  what to do: load it with TensorFlow and transformers 4; to lock and fetch its files, declare the model "
        'with `files = ["*.json", "*.h5"]` in [tool.modelenv.models]'
    )
    (folder / "tf_model.h5").unlink()
    assert refuse(folder, allow_pickle=allow_pickle).startswith("org/name: there are no weights\n")


def test_links_within_the_store_are_fine(folder: Path, root: Path) -> None:
    blobs = root / "blobs"
    blobs.mkdir()
    (folder / "model.safetensors").rename(blobs / "x")
    (folder / "model.safetensors").symlink_to("../../blobs/x")
    alias = root / "org" / "alias"
    alias.symlink_to(folder)
    check(alias)


def leave_by_file(folder: Path, outside: Path) -> Path:
    shutil.move(folder / "model.safetensors", outside)
    (folder / "model.safetensors").symlink_to(outside / "model.safetensors")
    return folder / "model.safetensors"


def leave_by_nested_file(folder: Path, outside: Path) -> Path:
    (folder / "1_Pooling").mkdir()
    (outside / "config.json").touch()
    (folder / "1_Pooling" / "config.json").symlink_to(outside / "config.json")
    return folder / "1_Pooling" / "config.json"


def leave_by_nested_folder(folder: Path, outside: Path) -> Path:
    (folder / "more").symlink_to(outside)
    return folder / "more"


def leave_by_folder(folder: Path, outside: Path) -> Path:
    shutil.move(folder, outside)
    folder.symlink_to(outside / folder.name)
    return folder


@pytest.mark.parametrize("leave", [leave_by_file, leave_by_nested_file, leave_by_nested_folder, leave_by_folder])
def test_links_that_leave_the_store(folder: Path, tmp_path: Path, leave: Callable[[Path, Path], Path]) -> None:
    outside = tmp_path / "store-beside"  # begins with the store's name
    outside.mkdir()
    link = leave(folder, outside)
    assert refuse(folder, UnsafeModelError) == (
        "org/name: a link leads out of the store\n"
        f"  expected: a place below {tmp_path}/store\n  found: {link} -> {link.resolve()}\n"
        "  what to do: copy the files into the store, or use the folder that contains the real files as the store"
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_broken_link(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("gone")
    assert refuse(folder) == (
        f"org/name: a link leads to a file that is missing\n  found: {folder}/{name}: No such file or directory\n"
        "  what to do: fetch the model again, or copy it with its blobs"
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_pipe_does_not_block(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink()
    make(folder / name)
    assert refuse(folder) == f"org/name: not a regular file\n  found: {folder}/{name}"


def test_a_loop_of_links(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")
    assert refuse(folder).startswith(f"org/name: a file cannot be read\n  found: {folder}/config.json: ")


def test_a_missing_folder(root: Path) -> None:
    assert "No such file or directory" in refuse(root / "org" / "name")


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A store that every user can enter, unlike pytest's own folders."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    yield root
    for path in root.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(root)


def test_a_lack_of_permission(folder: Path, open_root: Path) -> None:
    shutil.copytree(folder, open_root / "org" / "name")
    folder = open_root / "org" / "name"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from modelenv.store.model_folder import check_model_folder\n"
        "if os.getuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: check_model_folder(Path(sys.argv[1]), root=Path(sys.argv[2]), model='org/name')\n"
        "except ValueError as error: print(type(error).__name__, error, sep='\\n')\n"
    )
    for name in (".", "config.json", "model.safetensors"):
        mode = (folder / name).stat().st_mode
        (folder / name).chmod(0o000)
        done = subprocess.run(
            [sys.executable, "-c", code, folder, open_root], capture_output=True, text=True, timeout=30
        )
        (folder / name).chmod(mode)
        assert done.stdout.splitlines() == [
            "ModelIntegrityError",
            "org/name: no permission to read a file",
            f"  found: {folder / name}: Permission denied",
            "  what to do: give this user permission to read the store",
        ], done.stderr
