"""Recognises models in formats that transformers pipelines do not load, and says which library loads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from modelenv.errors import ModelIntegrityError
from modelenv.files.layouts import CONFIG

_SHOWN = 3
_OF_TRANSFORMERS = re.compile(
    r"(.*\.safetensors|(pytorch_model|adapter_model)(-\d+-of-\d+)?\.bin|.*\.(pt|pth|pkl|ckpt))"
)
_VOCABULARY = re.compile(r"(shared_|source_|target_)?vocabulary\.(json|txt)")


@dataclass(frozen=True)
class _Format:
    """A format of weights.

    Attributes:
        name: The name of the format, for errors.
        loaded_by: The libraries that load it.
        is_weights: A function that returns whether a path in the repo is a file of such weights.
        patterns: A function that returns the patterns to declare in `files`, from the paths of the weights.
    """

    name: str
    loaded_by: str
    is_weights: Callable[[str], bool]
    patterns: Callable[[list[str]], list[str]]


def _ends(*endings: str) -> Callable[[str], bool]:
    return lambda name: name.endswith(endings)


def _beside_configuration(weights: list[str]) -> list[str]:
    """Return patterns for all JSON files and the weights: their folders, or their suffixes if some are at the top."""
    folders = sorted({name.rpartition("/")[0] for name in weights})
    endings = sorted({"*" + name[name.rindex(".") :] for name in weights if "." in name})
    return ["*.json", *([f"{folder}/*" for folder in folders] if all(folders) else endings)]


_FORMATS = (
    _Format("GGUF files", "llama.cpp, Ollama or llama-cpp-python", _ends(".gguf"), lambda weights: weights[:1]),
    _Format("ONNX files", "onnxruntime or optimum", _ends(".onnx", ".onnx_data"), _beside_configuration),
    _Format(
        "OpenVINO files", "openvino or optimum-intel", _ends("openvino_model.xml"), lambda _: ["*.json", "*openvino*"]
    ),
    _Format("TensorFlow weights", "TensorFlow and transformers 4", _ends(".h5"), _beside_configuration),
    _Format("Flax weights", "Flax and transformers 4", _ends(".msgpack"), _beside_configuration),
    _Format("TensorFlow Lite files", "LiteRT", _ends(".tflite"), _beside_configuration),
    _Format("Core ML files", "coremltools", _ends(".mlmodel", "/Manifest.json"), lambda _: ["*"]),
    _Format("a NeMo model", "nemo_toolkit", _ends(".nemo"), _beside_configuration),
)
_DIFFUSERS = _Format(
    "a diffusers pipeline", "diffusers", lambda name: name == "model_index.json",
    lambda _: ["*.json", "*.txt", "*/*.safetensors"],
)  # fmt: skip
_CTRANSLATE2 = _Format(
    "a CTranslate2 model", "ctranslate2 or faster-whisper", lambda name: name == "model.bin",
    lambda _: ["*.json", "*.txt", "model.bin"],
)  # fmt: skip


def format_error(names: Iterable[str], *, model: str, place: str) -> ModelIntegrityError | None:
    """Return the error for a format that no transformers pipeline loads, or None if no such format is recognised.

    Args:
        names: The paths of all files of the model, with `/` between folders.
        model: The model's name.
        place: The folder or the repo that contains the files, for the error.
    """
    names = sorted(names)
    top = {name for name in names if "/" not in name}
    if "model_index.json" in top and CONFIG not in top:
        return _error(_DIFFUSERS, names, model, place)
    if any(_OF_TRANSFORMERS.fullmatch(name) for name in top):
        return None
    if "model.bin" in top and any(_VOCABULARY.fullmatch(name) for name in top):
        return _error(_CTRANSLATE2, names, model, place)
    found = next((each for each in _FORMATS if any(map(each.is_weights, names))), None)
    return None if found is None else _error(found, names, model, place)


def no_weights_error(names: Iterable[str], *, model: str, place: str) -> ModelIntegrityError:
    """Return the error for a model whose files include no known weights."""
    names = sorted(names)
    return ModelIntegrityError(
        "there are no weights",
        model=model,
        expected="model.safetensors or its shards",
        found=f"{_listed(names)} in {place}" if names else f"no files in {place}",
        hint="check the name and the revision; to fetch files for another program, list them as "
        "`files = [...]` in [tool.modelenv.models]",
    )


def _error(kind: _Format, names: list[str], model: str, place: str) -> ModelIntegrityError:
    weights = [name for name in names if kind.is_weights(name)]
    patterns = ", ".join(f'"{pattern}"' for pattern in kind.patterns(weights))
    this_is = "this is" if kind.name.startswith("a ") else "it contains"
    return ModelIntegrityError(
        f"{this_is} {kind.name}, which no transformers pipeline loads",
        model=model,
        expected="model.safetensors or its shards",
        found=f"{_listed(weights)} in {place}",
        hint=f"load it with {kind.loaded_by}; to lock and fetch its files, declare the model with "
        f"`files = [{patterns}]` in [tool.modelenv.models]",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
