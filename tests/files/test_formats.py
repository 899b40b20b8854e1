"""Models in formats that no transformers pipeline loads: each is recognised, and nothing else is."""

from __future__ import annotations

import fnmatch

import pytest

from modelenv.files.formats import format_error

OTHERS = {
    "gguf": (
        ["README.md", "config.json", "model-Q4_K_M.gguf", "model-Q8_0.gguf"],
        "it contains GGUF files", "model-Q4_K_M.gguf, model-Q8_0.gguf", '"model-Q4_K_M.gguf"',
        {"model-Q4_K_M.gguf"},
    ),
    "onnx in a folder": (
        ["config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model.onnx_data"],
        "it contains ONNX files", "onnx/model.onnx, onnx/model.onnx_data", '"*.json", "onnx/*"',
        {"config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model.onnx_data"},
    ),
    "onnx at the top": (
        ["config.json", "model.onnx", "model.onnx_data"],
        "it contains ONNX files", "model.onnx, model.onnx_data", '"*.json", "*.onnx", "*.onnx_data"',
        {"config.json", "model.onnx", "model.onnx_data"},
    ),
    "diffusers": (
        ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "v1-5.safetensors"],
        "this is a diffusers pipeline", "model_index.json", '"*.json", "*.txt", "*/*.safetensors"',
        {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"},
    ),
    "ctranslate2": (
        ["config.json", "model.bin", "vocabulary.json"],
        "this is a CTranslate2 model", "model.bin", '"*.json", "*.txt", "model.bin"',
        {"config.json", "model.bin", "vocabulary.json"},
    ),
    "openvino": (
        ["config.json", "openvino_model.bin", "openvino_model.xml"],
        "it contains OpenVINO files", "openvino_model.xml", '"*.json", "*openvino*"',
        {"config.json", "openvino_model.bin", "openvino_model.xml"},
    ),
    "tensorflow": (
        ["config.json", "tf_model.h5"],
        "it contains TensorFlow weights", "tf_model.h5", '"*.json", "*.h5"', {"config.json", "tf_model.h5"},
    ),
    "flax": (
        ["config.json", "flax_model.msgpack"],
        "it contains Flax weights", "flax_model.msgpack", '"*.json", "*.msgpack"',
        {"config.json", "flax_model.msgpack"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_the_error_names_the_format_and_what_to_do(kind: str) -> None:
    names, what, found, patterns, fetched = OTHERS[kind]
    error = format_error(names, model="org/name", place="the repo")
    assert error is not None
    assert error.what == f"{what}, which no transformers pipeline loads"
    assert error.found == f"{found} in the repo"
    assert error.hint is not None
    assert error.hint.endswith(
        f"; to lock and fetch its files, declare the model with `files = [{patterns}]` in [tool.modelenv.models]"
    )
    globs = [pattern.strip('"') for pattern in patterns.split(", ")]
    assert {name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)} == fetched


def test_many_files_are_counted() -> None:
    error = format_error([f"m-{number}.gguf" for number in range(9)], model="org/name", place="the repo")
    assert error is not None
    assert error.found == "m-0.gguf, m-1.gguf, m-2.gguf and 6 more in the repo"


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["README.md"],
        ["config.json", "model.safetensors", "onnx/model.onnx", "model.gguf", "tf_model.h5"],
        ["config.json", "pytorch_model.bin", "flax_model.msgpack"],
        ["config.json", "pytorch_model-00001-of-00002.bin", "vocabulary.json", "onnx/model.onnx"],
        ["adapter_config.json", "adapter_model.bin"],
        ["config.json", "model.bin"],
        ["config.json", "model_index.json", "model.safetensors"],
        ["gliner_config.json", "weights.pt", "onnx/model.onnx"],
    ],
)
def test_weights_that_torch_loads_are_not_another_format(names: list[str]) -> None:
    assert format_error(names, model="org/name", place="the repo") is None
