"""Which of a repo's files a load needs: a pure decision, made before anything is fetched."""

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

# Weights in formats that transformers 5 does not load, and what is there for people.
_NOT_LOADED = (
    ".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".gguf", ".tflite", ".mlmodel", ".npz", ".nemo", ".engine",
    ".md", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4", ".ipynb", ".gitattributes", ".gitignore",
)  # fmt: skip
_OTHER_FORMAT_FOLDERS = ("onnx/", "openvino/", "coreml/", "runs/", "original/", "metal/")
# The same weights once more: for another program, or as a variant, which stands before the number of the shard or
# behind it (`_add_variant` in transformers/modeling_utils.py, and older names).
_VARIANT = r"\.(fp8|fp16|bf16|fp32|int8)"
_SHARD_NUMBER = r"(-\d+-of-\d+)?"
_SECOND_COPY = re.compile(
    rf"consolidated.*|model{_VARIANT}{_SHARD_NUMBER}\.safetensors|model{_SHARD_NUMBER}{_VARIANT}\.safetensors"
)


# What is there for people, or of a training, and changes no answer if it is missing.
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
    """Return those of a repo's files that transformers needs to load the model, sorted.

    Weights are taken once: `model.safetensors`, else its shards and what may belong to them, else, where nothing
    is pickled, the other safetensors files beside the configuration. Pickled ones are taken only where
    transformers would load them, and `allow_pickle` is given.

    Args:
        names: every file of the repo, with `/` between folders.
        model: the model's name, for errors.
        allow_pickle: whether pickled weights may be fetched.
        place: where the names come from, for errors.
        modules: whether sentence-transformers may load the model. Its `modules.json` then says where the weights are,
            so that there need be none beside the configuration.

    Raises:
        ModelIntegrityError: the repo holds no weights, weights in a format that transformers does not load, or an
            adapter without its base.
        UnsafeModelError: the weights that would be loaded are pickled, and `allow_pickle` was not given.
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
    weights |= top & {ADAPTER_WEIGHTS}  # of an adapter that is kept beside its base
    return tuple(name for name in names if name in weights or _is_support_file(name))


def is_read(name: str) -> bool:
    """Whether a file of a plan matters to a load, and is not only there for people."""
    return not _NOT_READ.fullmatch(name)


def is_read_beside_weights(name: str) -> bool:
    """Whether a load may read a file of that name, if it is no weights."""
    return _is_support_file(name) and is_read(name)


def _safetensors(top: set[str]) -> set[str]:
    """Return the weights to take, with their index; nothing if transformers would load pickled ones."""
    files = {name for name in top if name.endswith(".safetensors")} - {ADAPTER_WEIGHTS}
    if WEIGHTS in files:
        return {WEIGHTS}
    if WEIGHTS_INDEX in top:
        # Only the index knows its shards, and some have names of their own (such as those of extra layers).
        return {WEIGHTS_INDEX, *(name for name in files if not _SECOND_COPY.fullmatch(name))}
    return set() if pickled_weights(top) else files


def _is_support_file(name: str) -> bool:
    """Configuration, tokenizer, processor and templates: everything that is not weights of some format."""
    if name.endswith((".safetensors", *PICKLES, *_NOT_LOADED)) or name.startswith(_OTHER_FORMAT_FOLDERS):
        return False
    return not name.endswith(".index.json")  # an index belongs to its shards
