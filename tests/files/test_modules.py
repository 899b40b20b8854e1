"""The files that the modules of a sentence-transformers model need, all inside of the model's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.store.loadable import check_locked_set
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.needs import check_needs, lacking

OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules.dense."


def write(folder: Path, *modules: tuple[str, str], files: tuple[str, ...] = ()) -> ModelFiles:
    """Write a model whose modules have these folders and types; each JSON file is an empty object."""
    folder.mkdir(exist_ok=True)
    entries = [{"idx": number, "path": path, "type": kind} for number, (path, kind) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(entries))
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return ModelFiles.in_folder(folder, "org/name")


def refuse(found: ModelFiles, kind: type[ModelEnvError] = ModelIntegrityError, **use: Any) -> str:
    with pytest.raises(kind) as caught:
        check_needs(found, Use(**use))
    assert type(caught.value) is kind
    return str(caught.value)


TRANSFORMER = ("config.json", "model.safetensors", "tokenizer.json")
MODULES = {
    "a dense layer": (
        (("", OLD + "Transformer"), ("1_Pooling", OLD + "Pooling"), ("2_Dense", NEW + "Dense")),
        (*TRANSFORMER, "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"),
    ),
    "a transformer in a folder": (
        (("0_Transformer", OLD + "Transformer"), ("1_Normalize", OLD + "Normalize")),
        ("0_Transformer/config.json", "0_Transformer/model.safetensors"),
    ),
    "static embeddings": (
        (("0_StaticEmbedding", OLD + "StaticEmbedding"),),
        ("0_StaticEmbedding/tokenizer.json", "0_StaticEmbedding/model.safetensors"),
    ),
    "static embeddings at the top": ((("", OLD + "StaticEmbedding"),), ("tokenizer.json", "model.safetensors")),
    "others": (
        (("0_BoW", OLD + "BoW"), ("1_CNN", OLD + "CNN"), ("2_LSTM", OLD + "LSTM")),
        ("0_BoW/config.json", "1_CNN/cnn_config.json", "1_CNN/model.safetensors", "2_LSTM/lstm_config.json",
         "2_LSTM/model.safetensors"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MODULES)
def test_each_file_of_each_module_is_needed(case: str, tmp_path: Path) -> None:
    modules, names = MODULES[case]
    whole = write(tmp_path / "m", *modules, files=names)
    check_needs(whole, Use())
    for name in names:
        if name in ("tokenizer.json",) and modules[0][1].endswith("Transformer"):
            continue  # the task decides which of them a transformer needs
        (tmp_path / "m" / name).unlink()
        found = ModelFiles.in_folder(tmp_path / "m", "org/name")
        said = refuse(found, hint="do this")
        assert said.startswith("org/name: 1 of the files that its modules need are missing\n  expected: ")
        assert name in said.splitlines()[1]
        assert said.endswith(f"required by modules.json\n  found: none in {tmp_path}/m\n  what to do: do this")
        assert lacking(found, whole.names, modules=True) == {name}
        assert lacking(found, whole.names, modules=False) <= {name}
        check_needs(found, Use("feature-extraction", {"tokenizer"}))  # a pipeline reads no modules
        (tmp_path / "m" / name).write_text("{}")


def test_shards_of_a_module(tmp_path: Path) -> None:
    found = write(tmp_path, ("0_T", OLD + "Transformer"), files=("0_T/config.json", "0_T/a.safetensors"))
    index = tmp_path / "0_T/model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}))
    found = ModelFiles.in_folder(tmp_path, "org/name")
    assert "expected: 0_T/b.safetensors, required by modules.json" in refuse(found)
    assert lacking(found, ["0_T/b.safetensors"], modules=True) == {"0_T/b.safetensors"}
    (tmp_path / "0_T/b.safetensors").touch()
    check_needs(ModelFiles.in_folder(tmp_path, "org/name"), Use())


def test_routes(tmp_path: Path) -> None:
    types = {"query_0_S": OLD + "SparseStaticEmbedding", "document_0_D": OLD + "Dense"}
    names = [f"{route}/{name}" for route in types for name in ("config.json", "model.safetensors")]
    write(tmp_path, ("", OLD + "Router"), files=tuple(names))
    assert "expected: router_config.json or config.json, required by modules.json" in refuse(
        ModelFiles.in_folder(tmp_path, "org/name")
    )
    (tmp_path / "router_config.json").write_text(json.dumps({"types": types, "structure": {}}))
    check_needs(ModelFiles.in_folder(tmp_path, "org/name"), Use())
    (tmp_path / "router_config.json").rename(tmp_path / "config.json")
    check_needs(ModelFiles.in_folder(tmp_path, "org/name"), Use())
    (tmp_path / "config.json").rename(tmp_path / "router_config.json")
    shutil.rmtree(tmp_path / "document_0_D")
    assert "2 of the files that its modules need" in refuse(ModelFiles.in_folder(tmp_path, "org/name"))
    (tmp_path / "router_config.json").write_text(json.dumps({"types": {"../x": OLD + "Dense"}}))
    refuse(ModelFiles.in_folder(tmp_path, "org/name"), UnsafeModelError)


@pytest.mark.parametrize("place", ["/x", "../x", "a/../../x", "a\\b", "x\0"])
def test_no_module_is_outside_of_the_folder(place: str, tmp_path: Path) -> None:
    found = write(tmp_path, (place, OLD + "Pooling"))
    assert refuse(found, UnsafeModelError) == (
        "org/name: a module is outside of the model's folder\n"
        "  expected: the name of a folder in the model's folder\n"
        f"  found: {tmp_path}/modules.json names {place!r}\n"
        "  what to do: do not load this model: whoever can write to that place controls its output"
    )


@pytest.mark.parametrize("content", ['{"a": 1}', "[3]", '[{"path": 3, "type": "a.B"}]', '[{"path": "a"}]', "{"])
def test_damaged_modules(content: str, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(content)
    assert "a file is damaged: it " in refuse(ModelFiles.in_folder(tmp_path, "org/name"))


def test_an_unknown_class_requires_nothing(tmp_path: Path) -> None:
    check_needs(write(tmp_path, ("0_X", "custom_module.X"), ("1_N", OLD + "Normalize")), Use())


def test_pickled_weights_of_a_module_are_locked_by_name_only(tmp_path: Path) -> None:
    names = (*TRANSFORMER, "2_Dense/config.json", "2_Dense/pytorch_model.bin")
    found = write(tmp_path, ("", OLD + "Transformer"), ("2_Dense", OLD + "Dense"), files=names)
    with pytest.raises(UnsafeModelError) as caught:
        check_locked_set(found, None, ())
    assert str(caught.value) == (
        "org/name: its weights are pickled, and loading a pickle runs the code in it\n  expected: safetensors\n"
        f"  found: 2_Dense/pytorch_model.bin in {tmp_path}\n"
        "  what to do: use a revision with safetensors, or, if you trust its author, list its files in `files`, and "
        "load it with allow_pickle=True"
    )
    check_locked_set(found, None, ("*",))
    check_locked_set(found, "feature-extraction", ())  # a pipeline does not read it
    assert lacking(found, found.names, modules=True) == set()
