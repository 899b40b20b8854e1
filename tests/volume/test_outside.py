"""A verified volume loads only what its metadata names, whatever its own small files name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.files.hashing import hash_file
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.model_folder import check_model_folder
from modelenv.store.store import Store
from modelenv.volume.filling import Volume
from modelenv.volume.reading import find_on_volume, volume_metadata

from ..fetching.conftest import Lock, MakeModel
from .conftest import REF

Fill = Callable[[Path], Path]


@pytest.fixture
def source(make_model: MakeModel) -> Path:
    return make_model()


@pytest.fixture
def find(source: Path, root: Path) -> Callable[..., Path]:
    """Put the source onto the volume, with a lock that could have been made elsewhere, and find it there."""

    def run(*, allow_pickle: bool = False) -> Path:
        files = []
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            known = hash_file(path)
            assert not isinstance(known, OSError)
            assert known.sha256 is not None
            name = path.relative_to(source).as_posix()
            files.append(LockedFile(name, known.size, known.sha256, known.sha256))
        locked = LockedModel("m", "acme/model", None, "0" * 40, "sentiment", tuple(files))
        Volume(root).fill(Lockfile((locked,)), lambda model: source, Deadline(20))
        metadata = volume_metadata(root)
        assert metadata is not None
        return find_on_volume(root, metadata, REF, locked=None, checks=Checks(), allow_pickle=allow_pickle)

    return run


def write_index(path: Path, *shards: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"metadata": {}, "weight_map": {str(n): name for n, name in enumerate(shards)}}))


def refuse(find: Callable[..., Path], kind: type[ModelEnvError], **arguments: bool) -> str:
    with pytest.raises(kind) as caught:
        find(**arguments)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize("index", ["x.safetensors.index.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("place", ["absolute", "above", "beside"])
def test_shards_outside(
    find: Callable[..., Path], source: Path, root: Path, tmp_path: Path, index: str, place: str
) -> None:
    outside = tmp_path / "outside.safetensors"
    shutil.copy(source / "model.safetensors", outside)
    names = {"absolute": str(outside), "above": "../../../outside.safetensors", "beside": "../other/x.safetensors"}
    if index.startswith("x"):
        (source / "config.json").write_text(json.dumps({"transformers_weights": index}))
    else:
        (source / "model.safetensors").rename(source / "model-1.safetensors")
    write_index(source / index, names[place])
    assert f"{index} names {names[place]!r}" in refuse(find, UnsafeModelError)


@pytest.mark.parametrize("index", ["unet/x.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_that_only_another_library_or_argument_uses(
    find: Callable[..., Path], source: Path, index: str
) -> None:
    write_index(source / index, "/x.safetensors")
    assert f"{index} names '/x.safetensors'" in refuse(find, UnsafeModelError)


def test_shards_that_are_not_locked(find: Callable[..., Path], source: Path, root: Path) -> None:
    (source / "model.safetensors").rename(source / "model-1.safetensors")
    write_index(source / "model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors")
    assert "1 of 2 weight files are missing" in refuse(find, ModelIntegrityError)
    shutil.copy(root / "acme/model/model-1.safetensors", root / "acme/model/model-2.safetensors")
    metadata = volume_metadata(root)
    assert metadata is not None
    with pytest.raises(ModelIntegrityError, match="its files do not match the lock: 1 extra"):
        find_on_volume(root, metadata, REF, locked=None, checks=Checks())


def test_weights_that_the_configuration_names_but_no_lock(find: Callable[..., Path], source: Path) -> None:
    (source / "config.json").write_text('{"transformers_weights": "x.safetensors"}')
    assert "found: no " in refuse(find, ModelIntegrityError)


def test_pickled_shards_need_permission(find: Callable[..., Path], source: Path) -> None:
    (source / "model.safetensors").unlink()
    (source / "weights.dat").write_bytes(b"a pickle")
    write_index(source / "pytorch_model.bin.index.json", "weights.dat")
    assert "its weights are pickled" in refuse(find, UnsafeModelError)
    (source / "config.json").write_text('{"transformers_weights": "x.safetensors.index.json"}')
    write_index(source / "x.safetensors.index.json", "weights.dat")
    (source / "other.safetensors").touch()
    assert "its weights are pickled" in refuse(find, UnsafeModelError)


def test_an_adapter_without_its_base(find: Callable[..., Path], source: Path) -> None:
    (source / "config.json").write_text('{"base_model_name_or_path": "meta/base"}')
    (source / "config.json").rename(source / "adapter_config.json")
    said = refuse(find, ModelIntegrityError)
    assert "this is an adapter" in said
    assert "which names the base meta/base" in said


def test_locked_files_inside_of_the_folder_are_loaded(find: Callable[..., Path], source: Path, root: Path) -> None:
    (source / "config.json").write_text('{"transformers_weights": "x.safetensors.index.json"}')
    (source / "parts").mkdir()
    (source / "model.safetensors").rename(source / "parts/x-1.safetensors")
    shutil.copy(source / "parts/x-1.safetensors", source / "x-2.safetensors")
    write_index(source / "x.safetensors.index.json", "parts/x-1.safetensors", "x-2.safetensors")
    assert find() == root / "acme/model"


def test_a_cache_loads_only_what_the_lock_names(hub: EmbeddedHub, source: Path, store: Store, lock: Lock) -> None:
    """Even if the shared snapshot has more files of the same commit."""
    from huggingface_hub import snapshot_download

    (source / "config.json").write_text('{"transformers_weights": "x.safetensors"}')
    shutil.copy(source / "model.safetensors", source / "x.safetensors")
    hub.add(source, "acme/model")
    snapshot_download("acme/model", cache_dir=store.root)
    locked = lock(files=("config.json", "*.safetensors", "tokenizer.json"))
    less = tuple(file for file in locked.files if file.path != "x.safetensors")
    for files, is_whole in ((locked.files, True), (less, False)):
        names = {file.path for file in files}
        model = LockedModel("m", "acme/model", None, locked.commit, None, files)
        path = obtain_locked(store, model, Deadline(20), fetches=True, checks=Checks()).path
        if is_whole:
            check_model_folder(path, root=store.root, model="acme/model", locked=names)
        else:
            with pytest.raises(ModelIntegrityError, match="1 of 1 weight files are missing"):
                check_model_folder(path, root=store.root, model="acme/model", locked=names)
    assert store.find(ModelRef("acme/model")) is not None
