"""The ids of a repository's contents: git blob and tree ids, and LFS objects.

All ids are real git ids: they depend only on names and bytes, in every process and on every machine.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# The `.gitattributes` that the Hub writes into every new model repository.
LFS_PATTERNS = [
    "*.7z",
    "*.arrow",
    "*.bin",
    "*.bz2",
    "*.ckpt",
    "*.ftz",
    "*.gz",
    "*.h5",
    "*.joblib",
    "*.lfs.*",
    "*.mlmodel",
    "*.model",
    "*.msgpack",
    "*.npy",
    "*.npz",
    "*.onnx",
    "*.ot",
    "*.parquet",
    "*.pb",
    "*.pickle",
    "*.pkl",
    "*.pt",
    "*.pth",
    "*.rar",
    "*.safetensors",
    "*.tar.*",
    "*.tar",
    "*.tflite",
    "*.tgz",
    "*.wasm",
    "*.xz",
    "*.zip",
    "*.zst",
    "*tfevents*",
]
LFS_FOLDER = "saved_model"
# The additional patterns in new dataset repositories: audio, images and videos.
_DATASET_PATTERNS = [
    f"*.{ending}"
    for ending in (
        *("lz4", "mds", "pcm", "sam", "raw", "aac", "flac", "mp3", "ogg", "wav"),
        *("bmp", "gif", "png", "tiff", "jpg", "jpeg", "webp", "mp4", "webm"),
    )
]
# The Hub refuses larger files that are not stored with LFS.
LFS_SIZE = 10 * 1024 * 1024


@dataclass(frozen=True)
class FoundFile:
    """A file of a repository: its path there, and its location, size and modification time on disk."""

    path: str
    location: Path
    size: int
    mtime_ns: int

    @property
    def lfs(self) -> bool:
        """Whether the Hub would store this file with LFS because of its name or size."""
        folder, _, name = self.path.rpartition("/")
        return (
            self.size > LFS_SIZE
            or LFS_FOLDER in folder.split("/")
            or any(fnmatchcase(name, pattern) for pattern in LFS_PATTERNS)
        )


@dataclass(frozen=True)
class ServedFile:
    """A file with its ids on the Hub.

    `blob_id` is the git blob id of the bytes or, for an LFS file, of the pointer to them. `sha256` is the hash of the
    bytes, for LFS files only. A file that is not `kept` is in a served folder, and can change there.
    """

    found: FoundFile
    blob_id: str
    sha256: str | None
    kept: bool = True

    def stale(self) -> bool:
        """Whether the file has changed since its ids were computed."""
        if self.kept:
            return False
        try:
            status = self.found.location.stat()
        except FileNotFoundError:
            return True
        return (status.st_size, status.st_mtime_ns) != (self.found.size, self.found.mtime_ns)

    @property
    def etag(self) -> str:
        """The ETag without quotes: the sha256 of an LFS file, else the git blob id."""
        return self.sha256 or self.blob_id


def hash_file(found: FoundFile) -> str:
    """Return the sha256 of an LFS file, or the git blob id of any other file. The file is read as a stream."""
    with found.location.open("rb") as stream:
        if found.lfs:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        header = b"blob %d\0" % found.size
        return hashlib.file_digest(stream, lambda: hashlib.sha1(header, usedforsecurity=False)).hexdigest()


def served_file(found: FoundFile, digest: str) -> ServedFile:
    """Return the file with its ids. `digest` is the result of `hash_file`."""
    if not found.lfs:
        return ServedFile(found, blob_id=digest, sha256=None, kept=False)
    pointer = lfs_pointer(digest, found.size)
    return ServedFile(found, blob_id=git_id("blob", pointer), sha256=digest, kept=False)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the pointer that git stores in place of an LFS file (git-lfs specification, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def git_id(kind: str, content: bytes) -> str:
    """Return the id of a git object of `kind` (blob, tree, commit) with this content."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


def tree_ids(blobs: Mapping[str, str]) -> dict[str, str]:
    """Return the git tree id of each folder ("" is the top folder). `blobs` maps file paths to blob ids."""
    folders: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    folders[""] = {}
    for path, blob_id in blobs.items():
        folder, _, name = path.rpartition("/")
        folders[folder][name] = ("100644", blob_id)
    for folder in parent_folders(blobs):
        folders.setdefault(folder, {})
    trees: dict[str, str] = {}
    for folder in sorted(folders, key=_depth, reverse=True):
        trees[folder] = git_id("tree", _tree_content(folders[folder]))
        if folder:
            parent, _, name = folder.rpartition("/")
            folders[parent][name] = ("40000", trees[folder])
    return trees


def parent_folders(paths: Iterable[str]) -> set[str]:
    """Return all folders that contain one of these paths, except the top folder."""
    parents = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder:
            parents.add(folder)
            folder = folder.rpartition("/")[0]
    return parents


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _tree_content(entries: Mapping[str, tuple[str, str]]) -> bytes:
    # git sorts by the bytes of the name, and treats a folder's name as if it ended in a slash.
    lines = sorted(
        (name.encode() + (b"/" if mode == "40000" else b""), mode, name, identifier)
        for name, (mode, identifier) in entries.items()
    )
    return b"".join(
        f"{mode} {name}".encode() + b"\0" + bytes.fromhex(identifier) for _, mode, name, identifier in lines
    )


def gitattributes(repo_type: str) -> str:
    """Return the `.gitattributes` that the Hub writes into a new repository of this type."""
    patterns = [*LFS_PATTERNS[:-1], f"{LFS_FOLDER}/**/*", LFS_PATTERNS[-1]]
    patterns += _DATASET_PATTERNS if repo_type == "dataset" else []
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns)
