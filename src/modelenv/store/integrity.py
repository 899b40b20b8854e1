"""Whether a folder holds a model that may be loaded: complete, undamaged, and free of code.

Nothing here writes, and nothing imports torch or safetensors: the checks read names, sizes and headers, and
hashes only where a file's name in the Hugging Face cache says what its hash must be.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.files.formats import format_error, no_weights_error
from modelenv.files.layouts import CONFIG

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# What transformers looks for, in this order, before it turns to pickles (`_get_resolved_checkpoint_files` in
# transformers/modeling_utils.py). Other safetensors files, such as a copy in another format, it does not load.
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_PICKLED_WEIGHTS = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
_TOKENIZER_FILE = re.compile(r"token|vocab|merges|spiece|sentencepiece|bpe", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+")
_LARGEST_HEADER = 100_000_000  # safetensors' own limit (safetensors/src/tensor.rs)
_CHUNK = 1 << 20


def check_model_folder(folder: Path, *, root: Path, model: str, allow_pickle: bool = False) -> None:
    """Check that `folder` can be loaded as `model`: configuration, weights, links, and no pickle.

    Args:
        folder: the folder with the model's files.
        root: the store's folder, which no link may leave.
        model: the model's name, for errors.
        allow_pickle: whether pickled weights may be loaded where there are no others.

    Raises:
        ModelIntegrityError: `config.json` or the weights are missing or damaged, or cannot be read.
        UnsafeModelError: the weights that would be loaded are pickled, or a link leads out of the store.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, model, error) from None
    check_links(folder, root=root, model=model)
    below = (Path(parent, name).relative_to(folder) for parent, _, files in os.walk(folder) for name in files)
    other = format_error((path.as_posix() for path in below), model=model, place=str(folder))
    if other is not None:
        raise other
    _check_config(folder, model)
    check_no_pickle(names, model=model, allow_pickle=allow_pickle, place=str(folder))
    tensors = {name for name in names if name.endswith(".safetensors")}
    if WEIGHTS_INDEX in names and WEIGHTS not in names:
        shards = _shards(folder / WEIGHTS_INDEX, model)
        missing = sorted(shards - tensors)
        if missing:
            raise ModelIntegrityError(
                f"{len(missing)} of {len(shards)} weight files are missing",
                model=model,
                found=f"no {folder / missing[0]}",
            )
    for name in sorted(tensors):
        check_safetensors(folder / name, model)


def check_tokenizer_files(folder: Path, model: str) -> None:
    """Check that the folder of a model that has a tokenizer holds a file for it.

    transformers makes a tokenizer without words where there is none (5.24, `BertTokenizer`), which knows no text.

    Raises:
        ModelIntegrityError: there is none.
    """
    if not any(_TOKENIZER_FILE.search(path.name) for path in folder.iterdir()):
        raise ModelIntegrityError(
            "the files of its tokenizer are missing",
            model=model,
            expected="tokenizer.json, tokenizer_config.json or a vocabulary",
            found=f"none in {folder}",
        )


def pickled_weights(names: Iterable[str]) -> list[str]:
    """Return those of a folder's files that transformers would unpickle to load the model from it."""
    names = set(names)
    if not names & {WEIGHTS, WEIGHTS_INDEX}:
        pickles = {name for name in names if _PICKLED_WEIGHTS.fullmatch(name)}
        if not pickles and not any(name.endswith(".safetensors") for name in names):
            pickles = {name for name in names if name.endswith(PICKLES)}
    else:
        pickles = set()
    if "adapter_model.safetensors" not in names:
        pickles |= names & {"adapter_model.bin"}
    return sorted(pickles)


def check_no_pickle(names: Iterable[str], *, model: str, allow_pickle: bool, place: str) -> None:
    """Check that a folder of files with these names holds weights, and that loading them runs no code.

    Args:
        names: the files of one folder.
        model: the model's name, for errors.
        allow_pickle: whether pickled weights may be loaded.
        place: the folder or the repo, for errors.

    Raises:
        ModelIntegrityError: there are no weights.
        UnsafeModelError: the weights that would be loaded are pickled, and `allow_pickle` was not given.
    """
    names = list(names)
    pickles = pickled_weights(names)
    if not pickles and not any(name.endswith(".safetensors") for name in names):
        raise no_weights_error(names, model=model, place=place)
    if pickles and not allow_pickle:
        raise UnsafeModelError(
            "its weights are pickled, and loading a pickle runs the code in it",
            model=model,
            expected="safetensors",
            found=f"{', '.join(pickles)} in {place}",
            hint="use a revision with safetensors, or, if you trust its author, load_model(..., allow_pickle=True)",
        )


def check_links(folder: Path, *, root: Path, model: str) -> None:
    """Check that neither the folder nor a link in it leads out of the store.

    Raises:
        UnsafeModelError: one does.
    """
    real_root = os.path.realpath(root)
    inside = (Path(parent) / name for parent, *lists in os.walk(folder) for names in lists for name in names)
    for path in (folder, *(path for path in inside if path.is_symlink())):
        target = os.path.realpath(path)
        if os.path.commonpath((real_root, target)) != real_root:
            raise UnsafeModelError(
                "a link leads out of the store",
                model=model,
                expected=f"a place below {root}",
                found=f"{path} -> {target}",
                hint="copy the files into the store, or name the folder that really holds them",
            )


def _check_config(folder: Path, model: str) -> None:
    path = folder / CONFIG
    if not os.path.lexists(path):
        raise ModelIntegrityError(
            f"the folder has no {CONFIG}",
            model=model,
            found=str(folder),
            hint="a model's folder holds config.json, the tokenizer's files and model.safetensors",
        )
    _read_json_object(path, model)


def _read_json_object(path: Path, model: str) -> dict[str, Any]:
    _check_file(path, model)
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, model, error) from None
    except (ValueError, RecursionError) as error:
        raise ModelIntegrityError(
            "a file is damaged: it is not JSON", model=model, found=f"{path}: {error}"
        ) from None
    if not isinstance(value, dict):
        raise ModelIntegrityError("a file is damaged: it is not a JSON object", model=model, found=str(path))
    return value


def _shards(index: Path, model: str) -> set[str]:
    mapping = _read_json_object(index, model).get("weight_map")
    shards = list(mapping.values()) if isinstance(mapping, dict) else []
    if not shards or not all(isinstance(name, str) and _is_shard(name) for name in shards):
        raise ModelIntegrityError(
            "a file is damaged: it does not name the weight files beside it", model=model, found=str(index)
        )
    return set(shards)


def _is_shard(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name


def check_safetensors(path: Path, model: str) -> None:
    """Check that a safetensors file is as long as its header says, without holes: a cut download is shorter.

    The format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes
    (https://huggingface.co/docs/safetensors).

    Raises:
        ModelIntegrityError: the file is truncated, too long, unreadable, or not safetensors.
    """
    _check_file(path, model)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            header = file.read(length) if 8 + length <= size and length <= _LARGEST_HEADER else b""
    except OSError as error:
        raise _unreadable(path, model, error) from None
    try:
        expected = 8 + length + _data_length(json.loads(header))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ModelIntegrityError(
            "the weights are damaged: the safetensors header is broken or cut off",
            model=model,
            found=f"{path}, {size:,} bytes",
            hint="remove the file and fetch the model again",
        ) from None
    if size != expected:
        raise ModelIntegrityError(
            "the weights are truncated" if size < expected else "the weights are longer than they should be",
            model=model,
            expected=f"{expected:,} bytes",
            found=f"{size:,} bytes in {path}",
            hint="remove the file and fetch the model again",
        )


def _data_length(header: dict[str, Any]) -> int:
    """Return how many bytes of tensors the header describes; they follow each other without holes.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the header is not what the format says.
    """
    end = 0
    for start, stop in sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"):
        if type(stop) is not int or start != end or stop < start:
            raise ValueError("the offsets of the tensors have a hole or overlap")
        end = stop
    return end


def _check_file(path: Path, model: str) -> None:
    """Check that `path` is a file, also behind a link: reading a pipe would wait for ever."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, model, error) from None
    if not is_file:
        raise ModelIntegrityError("this is not a file", model=model, found=str(path))


def _unreadable(path: Path, model: str, error: OSError) -> ModelIntegrityError:
    if isinstance(error, FileNotFoundError):
        problem, hint = "a link leads to a file that is missing", "fetch the model again, or copy it with its blobs"
    elif isinstance(error, PermissionError):
        problem, hint = "a file may not be read", "give this user the right to read the store"
    else:
        problem, hint = "a file cannot be read", "check the disk or the mount"
    return ModelIntegrityError(problem, model=model, found=f"{path}: {error.strerror}", hint=hint)


def matches_blob_name(blob: Path, name: str | None = None) -> bool:
    """Return whether a blob of the Hugging Face cache holds what its name says, or another name given.

    A blob is named by its ETag: 64 digits are the sha256 of the bytes (LFS files), 40 are git's blob id, or, from
    some mirrors, the plain sha1. Names of another form say nothing about the content, and match.
    """
    size, name = blob.stat().st_size, name or blob.name
    if not _HEX.fullmatch(name):
        return True
    if len(name) == 64:
        digests = [hashlib.sha256()]
    elif len(name) == 40:
        git_header = b"blob %d\0" % size
        digests = [hashlib.sha1(start, usedforsecurity=False) for start in (git_header, b"")]
    else:
        return True
    with blob.open("rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests:
                digest.update(chunk)
    return name in {digest.hexdigest() for digest in digests}
