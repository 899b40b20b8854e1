"""Which of a repo's files a load needs: a pure decision, made before anything is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelenv.integrity import PICKLES, check_no_pickle

# Weights in formats that transformers 5 does not load, and what is there for people.
_NOT_LOADED = (
    ".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".gguf", ".tflite", ".mlmodel", ".npz", ".nemo", ".engine",
    ".md", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4", ".ipynb", ".gitattributes", ".gitignore",
)  # fmt: skip
_OTHER_FORMAT_FOLDERS = ("onnx/", "openvino/", "coreml/", "runs/", "original/", "metal/")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLED_WEIGHTS = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")


def plan_files(
    names: Iterable[str], *, model: str, allow_pickle: bool = False, place: str = "the repo"
) -> tuple[str, ...]:
    """Return those of a repo's files that transformers needs to load the model, sorted.

    Weights are taken once: `model.safetensors`, else its shards, else the other safetensors files beside the
    configuration; pickled ones only where there are no safetensors and `allow_pickle` is given.

    Args:
        names: every file of the repo, with `/` between folders.
        model: the model's name, for errors.
        allow_pickle: whether pickled weights may be fetched.
        place: where the names come from, for errors.

    Raises:
        ModelIntegrityError: the repo holds no weights.
        UnsafeModelError: its only weights are pickled, and `allow_pickle` was not given.
    """
    names = sorted(names)
    weights = _safetensors(names)
    if not weights:
        top = [name for name in names if "/" not in name]
        check_no_pickle(top, model=model, allow_pickle=allow_pickle, place=place)
        weights = {name for name in top if _PICKLED_WEIGHTS.fullmatch(name)} or {
            name for name in top if name.endswith(PICKLES)
        }
    return tuple(name for name in names if name in weights or _is_support_file(name))


def _safetensors(names: list[str]) -> set[str]:
    files = {name for name in names if name.endswith(".safetensors") and "/" not in name}
    if "model.safetensors" in files:
        return files & {"model.safetensors", "adapter_model.safetensors"}
    shards = {name for name in files if _SHARD.fullmatch(name)}
    return shards | {name for name in files if name == "adapter_model.safetensors"} if shards else files


def _is_support_file(name: str) -> bool:
    """Configuration, tokenizer, processor and templates: everything that is not weights of some format."""
    if name.endswith((".safetensors", *PICKLES, *_NOT_LOADED)) or name.startswith(_OTHER_FORMAT_FOLDERS):
        return False
    return not name.endswith((".bin.index.json", ".h5.index.json", ".msgpack.index.json"))
