"""A lock contains everything that a load reads, or locking fails: modules, adapters, indexes, named files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.project import Alias
from modelenv.errors import ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.fetching.resolving import Locker
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.loadable import check_locked
from modelenv.store.store import Store

from .conftest import MakeModel

REF = ModelRef("acme/model")
SMALL = ("config.json", "model.safetensors", "tokenizer.json")
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
]
DENSE = ("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors")
LockIt = Callable[..., tuple[str, ...]]


@pytest.fixture
def source(make_model: MakeModel) -> Path:
    return make_model()


@pytest.fixture
def lock_it(hub: EmbeddedHub, source: Path, store: Store) -> LockIt:
    """Lock the current source, and return the locked paths."""

    def run(task: str | None = None, **declared: Any) -> tuple[str, ...]:
        hub.add(source, "acme/model")
        [locked] = Locker(store, 20).lock({"m": Alias(REF, task, **declared)}, Lockfile()).models
        obtained = obtain_locked(store, locked, Deadline(20), fetches=True, checks=Checks())
        check_locked(obtained.path, locked)  # what can be locked can be loaded
        return tuple(file.path for file in locked.files)

    return run


def add_modules(source: Path) -> None:
    (source / "modules.json").write_text(json.dumps(MODULES))
    for name in ("1_Pooling", "2_Dense"):
        (source / name).mkdir()
        (source / name / "config.json").write_text("{}")
    shutil.copy(source / "model.safetensors", source / "2_Dense")
    (source / "checkpoint-1").mkdir()
    shutil.copy(source / "model.safetensors", source / "checkpoint-1")  # not a module: left from training


def write_index(path: Path, *shards: str) -> None:
    path.write_text(json.dumps({"metadata": {}, "weight_map": {str(n): name for n, name in enumerate(shards)}}))


def refuse(lock_it: LockIt, kind: type[ModelEnvError] = ModelIntegrityError, **declared: Any) -> str:
    with pytest.raises(kind) as caught:
        lock_it(**declared)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize("task", [None, "feature-extraction"])
def test_the_weights_of_modules_are_locked(lock_it: LockIt, source: Path, task: str | None) -> None:
    add_modules(source)
    assert lock_it(task) == tuple(sorted((*SMALL, *DENSE, "modules.json")))


def test_a_module_without_its_weights(lock_it: LockIt, source: Path) -> None:
    add_modules(source)
    (source / "2_Dense/model.safetensors").unlink()
    said = refuse(lock_it)
    assert said.startswith("acme/model: 1 of the files that its modules need are missing\n")
    assert "expected: 2_Dense/model.safetensors or 2_Dense/pytorch_model.bin, required by modules.json" in said
    assert said.endswith(
        "what to do: run `modelenv lock --upgrade`; if that does not help, the repo is incomplete: use another "
        "revision"
    )
    assert "2_Dense/model.safetensors" not in lock_it("feature-extraction")  # a pipeline reads no modules


def test_pickled_weights_of_a_module(lock_it: LockIt, source: Path) -> None:
    add_modules(source)
    (source / "2_Dense/model.safetensors").rename(source / "2_Dense/pytorch_model.bin")
    assert "found: 2_Dense/pytorch_model.bin" in refuse(lock_it, UnsafeModelError)
    assert "2_Dense/pytorch_model.bin" in lock_it(files=("*",))
    assert "2_Dense/pytorch_model.bin" not in lock_it("feature-extraction")


def test_patterns_that_leave_out_what_a_module_needs(lock_it: LockIt, source: Path) -> None:
    add_modules(source)
    said = refuse(lock_it, files=("*.json", "model.safetensors"))
    assert said.endswith(
        "what to do: add the missing files to `files` in [tool.modelenv.models], and run `modelenv lock` again"
    )
    assert "2_Dense/model.safetensors" in lock_it(files=("*.json", "*.safetensors"))


def test_a_model_of_only_modules(lock_it: LockIt, source: Path) -> None:
    (source / "0_StaticEmbedding").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (source / name).rename(source / "0_StaticEmbedding" / name)
    (source / "config.json").unlink()
    kind = "sentence_transformers.models.StaticEmbedding"
    (source / "modules.json").write_text(json.dumps([{"path": "0_StaticEmbedding", "type": kind}]))
    names = ("0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json", "modules.json")
    assert lock_it() == names
    assert "there are no weights" in refuse(lock_it, task="feature-extraction")


def test_an_adapter_without_its_base(lock_it: LockIt, source: Path) -> None:
    (source / "config.json").rename(source / "adapter_config.json")
    (source / "model.safetensors").rename(source / "adapter_model.safetensors")
    assert refuse(lock_it).startswith(
        "acme/model: this is an adapter (LoRA or another kind of PEFT) without its base"
    )
    assert "adapter_config.json" in lock_it(files=("*",))  # for a library that joins adapter and base itself


def test_an_index_whose_shards_are_missing(lock_it: LockIt, source: Path) -> None:
    (source / "model.safetensors").rename(source / "model-00001-of-00002.safetensors")
    write_index(
        source / "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    )
    for files in ((), ("*",)):
        assert refuse(lock_it, files=files).startswith("acme/model: 1 of 2 weight files are missing\n")
    shutil.copy(source / "model-00001-of-00002.safetensors", source / "model-00002-of-00002.safetensors")
    assert len(lock_it()) == 5
    assert "1 of 2 weight files are missing" in refuse(lock_it, files=("*.json", "*-00001-*"))


def test_shards_that_only_the_index_names(lock_it: LockIt, source: Path) -> None:
    (source / "parts").mkdir()
    (source / "model.safetensors").rename(source / "parts/a.safetensors")
    shutil.copy(source / "parts/a.safetensors", source / "model.fp16.safetensors")  # would not be planned
    write_index(source / "model.safetensors.index.json", "parts/a.safetensors", "model.fp16.safetensors")
    assert {"parts/a.safetensors", "model.fp16.safetensors"} < set(lock_it())


def test_weights_that_the_configuration_names(lock_it: LockIt, source: Path) -> None:
    (source / "config.json").write_text('{"transformers_weights": "x.safetensors.index.json"}')
    write_index(source / "x.safetensors.index.json", "x-1.safetensors")
    assert "1 of 1 weight files are missing" in refuse(lock_it)
    shutil.copy(source / "model.safetensors", source / "x-1.safetensors")
    assert {"x.safetensors.index.json", "x-1.safetensors"} < set(lock_it())


@pytest.mark.parametrize("shard", ["/x.safetensors", "../x.safetensors"])
@pytest.mark.parametrize("files", [(), ("*",)])
def test_weights_outside_of_the_folder_are_never_locked(
    lock_it: LockIt, source: Path, shard: str, files: tuple[str, ...]
) -> None:
    (source / "config.json").write_text('{"transformers_weights": "x.safetensors.index.json"}')
    write_index(source / "x.safetensors.index.json", shard)
    assert f"x.safetensors.index.json names {shard!r}" in refuse(lock_it, UnsafeModelError, files=files)


def test_a_task_needs_its_parts(lock_it: LockIt, source: Path) -> None:
    (source / "tokenizer.json").rename(source / "tokenizer_config.json")
    assert "its tokenizer files are missing" in refuse(lock_it, task="sentiment")
    assert "its preprocessor configuration is missing" in refuse(lock_it, task="image-classification")
    assert len(lock_it()) == 3
    assert len(lock_it("sentiment", files=("*",))) == 3  # chosen by patterns, so the caller can pass the tokenizer


def test_files_for_another_library_are_not_checked(lock_it: LockIt, source: Path) -> None:
    (source / "config.json").unlink()
    (source / "model.onnx").write_bytes(b"for another program")
    assert lock_it("sentiment", files=("*.onnx",)) == ("model.onnx",)


def test_an_upgrade_adds_the_files_that_an_older_lock_lacks(
    hub: EmbeddedHub, lock_it: LockIt, source: Path, store: Store
) -> None:
    add_modules(source)
    lock_it()
    declared = {"m": Alias(REF, None)}
    [whole] = Locker(store, 20).lock(declared, Lockfile()).models
    old = replace(whole, files=tuple(file for file in whole.files if file.path != DENSE[-1]))
    assert Locker(store, 20).lock(declared, Lockfile((old,))).models == (old,)
    assert Locker(store, 20).lock(declared, Lockfile((old,)), upgrade={"m"}).models == (whole,)


@pytest.mark.parametrize(
    ("task", "name", "what"),
    [
        (None, "2_Dense/model.safetensors", "1 of the files that its modules need are missing"),
        (None, "model.safetensors", "1 of the files that its modules need are missing"),
        ("feature-extraction", "model.safetensors", "there are no weights"),
        ("feature-extraction", "tokenizer.json", "its tokenizer files are missing"),
        ("feature-extraction", "config.json", "the locked files have no config.json"),
    ],
)
def test_files_that_an_edited_lock_leaves_out_count_as_missing(
    lock_it: LockIt, source: Path, store: Store, task: str | None, name: str, what: str
) -> None:
    add_modules(source)
    lock_it(task)
    [whole] = Locker(store, 20).lock({"m": Alias(REF, task)}, Lockfile()).models
    found = store.find(ModelRef("acme/model", whole.commit))
    assert found is not None
    check_locked(found.path, whole)
    with pytest.raises(ModelIntegrityError) as caught:
        check_locked(found.path, replace(whole, files=tuple(file for file in whole.files if file.path != name)))
    assert caught.value.what == what
