"""Single files: safetensors damaged in every interesting place, and blobs compared with their names."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ModelIntegrityError
from modelenv.store.integrity import check_safetensors, matches_blob_name

HEADER = {
    "__metadata__": {"format": "pt"},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
}


def tensors(header: Any = None, data: bytes = bytes(24)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(HEADER if header is None else header).encode()
    return struct.pack("<Q", len(text)) + text + data


def header(*offsets: Any) -> dict[str, Any]:
    return {str(number): {"dtype": "U8", "data_offsets": pair} for number, pair in enumerate(offsets)}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A complete file."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(tensors())
    return path


def refuse(path: Path) -> str:
    with pytest.raises(ModelIntegrityError) as caught:
        check_safetensors(path, "org/name")
    return str(caught.value)


def test_the_real_library_reads_our_files(weights: Path) -> None:
    code = (
        "import sys; from safetensors import safe_open\nprint(sorted(safe_open(sys.argv[1], framework='np').keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, weights], capture_output=True, text=True, timeout=60)
    assert done.stdout == "['a', 'b']\n", done.stderr


@pytest.mark.parametrize(
    "content", [tensors({}, b""), tensors(header([0, 0], [0, 4]), bytes(4)), tensors(b"{}  ", b"")]
)
def test_small_but_complete(weights: Path, content: bytes) -> None:
    weights.write_bytes(content)
    check_safetensors(weights, "org/name")


WHOLE = tensors()
START = len(WHOLE) - 24


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, START - 1])
def test_weights_cut_in_the_header(weights: Path, size: int) -> None:
    weights.write_bytes(WHOLE[:size])
    assert refuse(weights) == (
        "org/name: the weights are damaged: the safetensors header is broken or cut off\n"
        f"  found: {weights}, {size} bytes\n  what to do: delete the file and fetch the model again"
    )


@pytest.mark.parametrize("size", [START, START + 1, START + 16, len(WHOLE) - 1])
def test_weights_cut_in_the_tensors(weights: Path, size: int) -> None:
    weights.write_bytes(WHOLE[:size])
    assert refuse(weights) == (
        f"org/name: the weights are truncated\n  expected: {len(WHOLE)} bytes\n"
        f"  found: {size} bytes in {weights}\n  what to do: delete the file and fetch the model again"
    )


def test_weights_that_are_too_long(weights: Path) -> None:
    weights.write_bytes(WHOLE + b"x")
    assert refuse(weights).startswith("org/name: the weights are longer than they should be\n")


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**64 - 1) + bytes(100),
        struct.pack("<Q", 10**9) + bytes(100),
        tensors(b"not JSON"),
        tensors(b"\xff\xfe\x00"),
        tensors([1, 2]),
        tensors(b"null"),
        tensors({"a": {}}),
        tensors({"a": 3}),
        tensors({"a": {"data_offsets": {"0": 1}}}),
        tensors(header([0])),
        tensors(header([0, 8, 24])),
        tensors(header([0, "24"])),
        tensors(header([0, 24.0])),
        tensors(header([0, None])),
        tensors(header([0, True]), bytes(1)),
        tensors(header([8, 24])),
        tensors(header([0, 8], [16, 24])),
        tensors(header([0, 16], [8, 24])),
        tensors(header([0, 24], [24, 8])),
        tensors(header([-8, 24])),
        tensors(b"[" * 100_000),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 91000000\n",
        b"<html>please log in</html>",
    ],
)
def test_a_header_with_wrong_offsets(weights: Path, content: bytes) -> None:
    weights.write_bytes(content)
    assert refuse(weights).startswith(
        "org/name: the weights are damaged: the safetensors header is broken or cut off\n"
    )


CONTENT = b"some bytes" * 200_000  # more than one chunk


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        (hashlib.sha256(CONTENT).hexdigest(), True),
        (hashlib.sha256(b"other").hexdigest(), False),
        (hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest(), True),
        (hashlib.sha1(CONTENT).hexdigest(), True),
        (hashlib.sha1(b"other").hexdigest(), False),
        (hashlib.md5(CONTENT).hexdigest(), True),
        ("etag-of-a-mirror", True),
        ("z" * 40, True),
        ("Z" * 64, True),
    ],
)
def test_a_blob_is_compared_with_the_hash_in_its_name(tmp_path: Path, name: str, matches: bool) -> None:
    blob = tmp_path / name
    blob.write_bytes(CONTENT)
    assert matches_blob_name(blob) is matches


def test_the_git_hash_is_that_of_git(tmp_path: Path) -> None:
    blob = tmp_path / "257cc5642cb1a054f08cc83f2d943e56fd3ebe99"  # echo foo | git hash-object --stdin
    blob.write_bytes(b"foo\n")
    assert matches_blob_name(blob)
    blob.write_bytes(b"fop\n")
    assert not matches_blob_name(blob)
