"""Decides which files of a repo a load needs, before anything is fetched. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelenv.files.formats import format_error
from modelenv.files.layouts import CONFIG
from modelenv.store.modules import MODULES
from modelenv.store.needs import ADAPTER_CONFIG, adapter_error
from modelenv.store.weights import (
    ADAPTER_WEIGHTS,
    PICKLES,
    WEIGHTS,
    WEIGHTS_INDEX,
    check_no_pickle,
    pickled_weights,
)

# Weights in formats that transformers 5 does not load, and files for people.
_NOT_LOADED = (
    ".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".gguf", ".tflite", ".mlmodel", ".npz", ".nemo", ".engine",
    ".md", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4", ".ipynb", ".gitattributes", ".gitignore",
)  # fmt: skip
_OTHER_FORMAT_FOLDERS = ("onnx/", "openvino/", "coreml/", "runs/", "original/", "metal/")
# Second copies of the weights: for another program, or as a variant, whose name is before or after the shard's number
# (`_add_variant` in transformers/modeling_utils.py, and older names).
_VARIANT = r"\.(fp8|fp16|bf16|fp32|int8)"
_SHARD_NUMBER = r"(-\d+-of-\d+)?"
_SECOND_COPY = re.compile(
    rf"consolidated.*|model{_VARIANT}{_SHARD_NUMBER}\.safetensors|model{_SHARD_NUMBER}{_VARIANT}\.safetensors"
)


# Files for people, or left over from training. The model's output is the same without them.
_NOT_READ = re.compile(
    r"(.*/)?(licen[cs]e|notice|use_policy|acceptable_use_policy|citation|changelog|requirements)[^/]*"
    r"|.*\.(log|csv|tsv|out)|.*tfevents.*|(.*/)?(trainer_state|train_results|eval_results|all_results)\.json",
    re.IGNORECASE,
)


def plan_files(
    names: Iterable[str],
    *,
    model: str,
    allow_pickle: bool = False,
    place: str = "the repo",
    modules: bool = False,
) -> tuple[str, ...]:
    """Return the files of a repo that transformers needs to load the model, sorted.

    Only one copy of the weights is included: `model.safetensors`; else its shards and the files that could belong to
    them; else, if there are no pickled weights, the other safetensors files beside the configuration. Pickled weights
    are included only if transformers would load them and `allow_pickle` is true.

    Args:
        names: The paths of all files of the repo, with `/` between folders.
        model: The model's name, for errors.
        allow_pickle: Whether pickled weights are allowed.
        place: The origin of the names, for errors.
        modules: Whether sentence-transformers could load the model. Its `modules.json` then says where the weights
            are, so none are required beside the configuration.

    Raises:
        ModelIntegrityError: The repo contains no weights, weights in a format that transformers does not load, or an
            adapter without its base.
        UnsafeModelError: The weights that would be loaded are pickled, and `allow_pickle` is false.
    """
    names = sorted(names)
    other = format_error(names, model=model, place=place)
    if other is not None:
        raise other
    top = {name for name in names if "/" not in name}
    if ADAPTER_CONFIG in top and CONFIG not in top:
        raise adapter_error(model, place)
    weights = _safetensors(top)
    if not weights and not (modules and MODULES in top and not pickled_weights(top)):
        check_no_pickle(top, model=model, allow_pickle=allow_pickle, place=place)
        weights = set(pickled_weights(top))
    weights |= top & {ADAPTER_WEIGHTS}  # an adapter can be stored beside its base
    return tuple(name for name in names if name in weights or _is_support_file(name))


def is_read(name: str) -> bool:
    """Whether a planned file matters to a load, and is not only for people."""
    return not _NOT_READ.fullmatch(name)


def is_read_beside_weights(name: str) -> bool:
    """Whether a load can read a file with this name, given that the file is not weights."""
    return _is_support_file(name) and is_read(name)


def _safetensors(top: set[str]) -> set[str]:
    """Return the weights to include, with their index. Returns nothing if transformers would load pickled weights."""
    files = {name for name in top if name.endswith(".safetensors")} - {ADAPTER_WEIGHTS}
    if WEIGHTS in files:
        return {WEIGHTS}
    if WEIGHTS_INDEX in top:
        # Only the index lists its shards, and some have unusual names (such as those of extra layers).
        return {WEIGHTS_INDEX, *(name for name in files if not _SECOND_COPY.fullmatch(name))}
    return set() if pickled_weights(top) else files


def _is_support_file(name: str) -> bool:
    """Whether the file is configuration, tokenizer, processor or template: anything but weights of some format."""
    if name.endswith((".safetensors", *PICKLES, *_NOT_LOADED)) or name.startswith(_OTHER_FORMAT_FOLDERS):
        return False
    return not name.endswith(".index.json")  # an index belongs to its shards
