"""Whether a folder holds a model that may be loaded: complete, undamaged, and free of code.

Nothing here writes, and nothing imports torch or safetensors: the checks read names, sizes and headers, and
hashes only where a file's name in the Hugging Face cache says what its hash must be.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.layouts import CONFIG

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_INDEX = ".safetensors.index.json"
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
        UnsafeModelError: the only weights are pickled, or a link leads out of the store.
    """
    names = sorted(path.name for path in folder.iterdir())
    _check_links(folder, names, root=root, model=model)
    _check_config(folder, model)
    indexes = [name for name in names if name.endswith(_INDEX)]
    tensors = {name for name in names if name.endswith(".safetensors")}
    for index in indexes:
        shards = _shards(folder / index, model)
        missing = sorted(shards - tensors)
        if missing:
            raise ModelIntegrityError(
                f"{len(missing)} of {len(shards)} weight files are missing",
                model=model,
                found=f"no {folder / missing[0]}",
            )
    for name in sorted(tensors):
        check_safetensors(folder / name, model)
    if not tensors:
        check_no_pickle(names, model=model, allow_pickle=allow_pickle, place=str(folder))


def check_no_pickle(names: Iterable[str], *, model: str, allow_pickle: bool, place: str) -> None:
    """Raise if files without safetensors hold no weights, or hold only pickled ones that are not allowed."""
    pickles = [name for name in names if name.endswith(PICKLES)]
    if not pickles:
        raise ModelIntegrityError(
            "there are no weights",
            model=model,
            expected="model.safetensors or its shards",
            found=f"none in {place}",
        )
    if not allow_pickle:
        raise UnsafeModelError(
            "its weights are pickled, and loading a pickle runs the code in it",
            model=model,
            expected="safetensors",
            found=f"{', '.join(pickles)} in {place}",
            hint="use a revision with safetensors, or, if you trust its author, load_model(..., allow_pickle=True)",
        )


def _check_links(folder: Path, names: list[str], *, root: Path, model: str) -> None:
    real_root = os.path.realpath(root)
    for path in (folder, *(folder / name for name in names)):
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
    if not path.exists():
        raise ModelIntegrityError(
            f"the folder has no {CONFIG}",
            model=model,
            found=str(folder),
            hint="a model's folder holds config.json, the tokenizer's files and model.safetensors",
        )
    _read_json_object(path, model)


def _read_json_object(path: Path, model: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except PermissionError:
        raise _unreadable(path, model) from None
    except ValueError as error:
        raise ModelIntegrityError(
            "a file is damaged: it is not JSON", model=model, found=f"{path}: {error}"
        ) from None
    if not isinstance(value, dict):
        raise ModelIntegrityError("a file is damaged: it is not a JSON object", model=model, found=str(path))
    return value


def _shards(index: Path, model: str) -> set[str]:
    mapping = _read_json_object(index, model).get("weight_map")
    shards = set(mapping.values()) if isinstance(mapping, dict) else set()
    if not shards or not all(isinstance(name, str) and PurePosixPath(name).name == name for name in shards):
        raise ModelIntegrityError("a file is damaged: it names no weight files", model=model, found=str(index))
    return shards


def check_safetensors(path: Path, model: str) -> None:
    """Check that a safetensors file is as long as its header says: a cut download is shorter.

    The format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes
    (https://huggingface.co/docs/safetensors).

    Raises:
        ModelIntegrityError: the file is truncated, too long, unreadable, or not safetensors.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            header = file.read(length) if 8 + length <= size and length <= _LARGEST_HEADER else b""
    except PermissionError:
        raise _unreadable(path, model) from None
    try:
        tensors = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
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


def _unreadable(path: Path, model: str) -> ModelIntegrityError:
    return ModelIntegrityError(
        "a file may not be read",
        model=model,
        found=str(path),
        hint="give this user the right to read the volume",
    )


def matches_blob_name(blob: Path) -> bool:
    """Return whether a blob of the Hugging Face cache holds what its name says.

    A blob is named by its ETag: 64 digits are the sha256 of the bytes (LFS files), 40 are git's blob id, or, from
    some mirrors, the plain sha1. Names of another form say nothing about the content, and match.
    """
    size = blob.stat().st_size
    if len(blob.name) == 64:
        digests = [hashlib.sha256()]
    elif len(blob.name) == 40:
        git_header = b"blob %d\0" % size
        digests = [hashlib.sha1(start, usedforsecurity=False) for start in (git_header, b"")]
    else:
        return True
    with blob.open("rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests:
                digest.update(chunk)
    return blob.name in {digest.hexdigest() for digest in digests}
