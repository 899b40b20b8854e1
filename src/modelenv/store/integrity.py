"""Whether single files are what they should be: links, JSON, safetensors, and the blobs of the cache.

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
from pathlib import Path
from typing import Any

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.files.layouts import CONFIG

_HEX = re.compile(r"[0-9a-f]+")
_LARGEST_HEADER = 100_000_000  # safetensors' own limit (safetensors/src/tensor.rs)
_CHUNK = 1 << 20


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


def check_config(folder: Path, model: str) -> None:
    """Check that the folder has a `config.json`, and that it is a JSON object.

    Raises:
        ModelIntegrityError: it does not.
    """
    path = folder / CONFIG
    if not os.path.lexists(path):
        raise ModelIntegrityError(
            f"the folder has no {CONFIG}",
            model=model,
            found=str(folder),
            hint="a model's folder holds config.json, the tokenizer's files and model.safetensors",
        )
    read_json(path, model)


def read_json(path: Path, model: str, kind: type[Any] = dict) -> Any:
    """Return what a JSON file holds: an object, or a list where `kind` says so.

    Raises:
        ModelIntegrityError: it cannot be read, or holds something else.
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
    """Check that a safetensors file is as long as its header says, without holes: a cut download is shorter.

    The format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes
    (https://huggingface.co/docs/safetensors).

    Raises:
        ModelIntegrityError: the file is truncated, too long, unreadable, or not safetensors.
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


def check_file(path: Path, model: str) -> None:
    """Check that `path` is a file, also behind a link: reading a pipe would wait for ever."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise unreadable(path, model, error) from None
    if not is_file:
        raise ModelIntegrityError("not a regular file", model=model, found=str(path))


def unreadable(path: Path, model: str, error: OSError) -> ModelIntegrityError:
    """Return the error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        problem, hint = "a link leads to a file that is missing", "fetch the model again, or copy it with its blobs"
    elif isinstance(error, PermissionError):
        problem, hint = "a file may not be read", "give this user the right to read the store"
    else:
        problem, hint = "a file cannot be read", "check the disk or the mount"
    return ModelIntegrityError(problem, model=model, found=f"{path}: {error.strerror}", hint=hint)


def matches_blob_name(blob: Path, name: str | None = None) -> bool:
    """Whether a blob of the Hugging Face cache holds what its name says, or another name given.

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
