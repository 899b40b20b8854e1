"""Checks single files: links, JSON, safetensors, and the blobs of the cache.

The checks write nothing and import neither torch nor safetensors. They read names, sizes and headers, and compute a
hash only if a file's name in the Hugging Face cache says what its hash must be.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.files.layouts import CONFIG

_HEX = re.compile(r"[0-9a-f]+")
_LARGEST_HEADER = 100_000_000  # safetensors' own limit (safetensors/src/tensor.rs)


def check_links(folder: Path, *, root: Path, model: str) -> None:
    """Check that neither the folder nor a link in it leads out of the store.

    Raises:
        UnsafeModelError: The folder or a link leads out of the store.
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
                hint="copy the files into the store, or use the folder that contains the real files as the store",
            )


def check_config(folder: Path, model: str) -> None:
    """Check that the folder has a `config.json` that is a JSON object.

    Raises:
        ModelIntegrityError: The file is missing, unreadable or damaged.
    """
    path = folder / CONFIG
    if not os.path.lexists(path):
        raise ModelIntegrityError(
            f"the folder has no {CONFIG}",
            model=model,
            found=str(folder),
            hint="a model's folder contains config.json, the tokenizer's files and model.safetensors",
        )
    read_json(path, model)


def read_json(path: Path, model: str, kind: type[Any] = dict) -> Any:
    """Return the content of a JSON file, which must be of type `kind`: a dict or a list.

    Raises:
        ModelIntegrityError: The file cannot be read, is not JSON, or has another type.
    """
    check_file(path, model)
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, model, error) from None
    except (ValueError, RecursionError) as error:
        raise ModelIntegrityError(
            "a file is damaged: it is not JSON", model=model, found=f"{path}: {error}"
        ) from None
    if not isinstance(value, kind):
        name = "object" if kind is dict else "list"
        raise ModelIntegrityError(f"a file is damaged: it is not a JSON {name}", model=model, found=str(path))
    return value


def check_safetensors(path: Path, model: str) -> None:
    """Check that a safetensors file has the size that its header describes. A truncated download is shorter.

    The format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes without holes
    (https://huggingface.co/docs/safetensors).

    Raises:
        ModelIntegrityError: The file is truncated, too long, unreadable, or not safetensors.
    """
    check_file(path, model)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            header = file.read(length) if 8 + length <= size and length <= _LARGEST_HEADER else b""
    except OSError as error:
        raise unreadable(path, model, error) from None
    try:
        expected = 8 + length + _data_length(json.loads(header))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ModelIntegrityError(
            "the weights are damaged: the safetensors header is broken or cut off",
            model=model,
            found=f"{path}, {size:,} bytes",
            hint="delete the file and fetch the model again",
        ) from None
    if size != expected:
        raise ModelIntegrityError(
            "the weights are truncated" if size < expected else "the weights are longer than they should be",
            model=model,
            expected=f"{expected:,} bytes",
            found=f"{size:,} bytes in {path}",
            hint="delete the file and fetch the model again",
        )


def _data_length(header: dict[str, Any]) -> int:
    """Return the total size of the tensors that the header describes, which must follow each other without holes.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: The header does not follow the format.
    """
    end = 0
    for start, stop in sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"):
        if type(stop) is not int or start != end or stop < start:
            raise ValueError("the offsets of the tensors have a hole or overlap")
        end = stop
    return end


def check_file(path: Path, model: str) -> None:
    """Check that `path` is a regular file or a link to one. Reading a pipe would block."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise unreadable(path, model, error) from None
    if not is_file:
        raise ModelIntegrityError("not a regular file", model=model, found=str(path))


def unreadable(path: Path, model: str, error: OSError) -> ModelIntegrityError:
    """Return the error for a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        problem, hint = "a link leads to a file that is missing", "fetch the model again, or copy it with its blobs"
    elif isinstance(error, PermissionError):
        problem, hint = "no permission to read a file", "give this user permission to read the store"
    else:
        problem, hint = "a file cannot be read", "check the disk or the mount"
    return ModelIntegrityError(problem, model=model, found=f"{path}: {error.strerror}", hint=hint)


def matches_blob_name(blob: Path, name: str | None = None) -> bool:
    """Whether the content of a blob of the Hugging Face cache matches its name, or the name `name` if it is given.

    A blob is named by its ETag: 64 digits are the sha256 of the content (LFS files); 40 digits are git's blob id or,
    from some mirrors, the plain sha1. A name of another form says nothing about the content, so it always matches.
    """
    name = name or blob.name
    if not _HEX.fullmatch(name) or len(name) not in (40, 64):
        return True
    git_header = b"blob %d\0" % blob.stat().st_size
    sha1 = partial(hashlib.sha1, usedforsecurity=False)
    hashes: list[Callable[[], Any]] = [hashlib.sha256] if len(name) == 64 else [partial(sha1, git_header), sha1]
    with blob.open("rb") as file:
        for begin in hashes:
            file.seek(0)
            if hashlib.file_digest(file, begin).hexdigest() == name:
                return True
    return False
