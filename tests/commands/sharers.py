"""Projects that share a cache, and the contents of a cache, byte for byte. No Hub is involved."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelenv.commands.storing import prune
from modelenv.deadlines import Deadline
from modelenv.environment.settings import Settings
from modelenv.files.claims import claimant_of
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.store.checks import Checks
from modelenv.store.store import Store

Tree = dict[str, bytes | str]


def tree(root: Path) -> Tree:
    """Return every file and link of the cache with its content, without modelenv's own locks and records."""
    paths = (path for path in root.rglob("*") if ".locks" not in path.parts or "damaged" in path.parts)
    return {
        path.relative_to(root).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in paths
        if path.is_symlink() or path.is_file()
    }


def locked_model(root: Path, commit: str, **config: object) -> LockedModel:
    """Return a locked model whose blobs are already in the cache, as after `modelenv lock`."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}).encode()
    contents = {
        "config.json": json.dumps({"model_type": "bert", **config}).encode(),
        "model.safetensors": struct.pack("<Q", len(header)) + header + bytes(64),
        "tokenizer.json": b"{}",
    }
    blobs = root / "models--acme--model/blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    files = []
    for path, content in contents.items():
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        files.append(LockedFile(path, len(content), name, name))
    return LockedModel("m", "acme/model", None, commit, None, tuple(files))


@dataclass(frozen=True)
class Sharer:
    """A project with a lock that uses a shared cache."""

    folder: Path
    root: Path

    def lock(self, *models: LockedModel) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "pyproject.toml").write_text("")
        write_lockfile(self.folder / "modelenv.lock", Lockfile(models))

    def pull(self, *models: LockedModel) -> Path:
        """Lock the models and fetch them into the cache. Returns the folder of the last one."""
        self.lock(*models)
        cache = Store(self.root, claimant=claimant_of(self.folder / "modelenv.lock"))
        return [obtain_locked(cache, each, Deadline(20), fetches=True, checks=Checks()).path for each in models][-1]

    def prune(self, *, dry_run: bool = False, unshared: bool = False) -> tuple[list[str], dict[str, str]]:
        """Return the paths removed, and the paths kept with the reason, relative to the cache."""
        settings = Settings.load(project_dir=self.folder, environ={}, cache_dir=self.root)
        data = prune(settings, dry_run=dry_run, unshared=unshared, cache_dir=self.root).data
        removed = [os.path.relpath(path, self.root) for path in data["removed"]]
        return removed, {os.path.relpath(each["path"], self.root): each["reason"] for each in data["kept"]}


def folder_of(model: LockedModel) -> str:
    return f"models--acme--model/snapshots/{model.commit}"


def blob_of(model: LockedModel, name: str) -> str:
    [file] = [file for file in model.files if file.path == name]
    return f"models--acme--model/blobs/{file.blob_id}"


def paths_of(model: LockedModel) -> set[str]:
    """Return the paths that `prune` removes of an unused commit, if another has the same weights and tokenizer."""
    links = {f"{folder_of(model)}/{file.path}" for file in model.files}
    return links | {blob_of(model, "config.json"), "models--acme--model/refs/main"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The shared cache."""
    return Store(tmp_path / "store")


@pytest.fixture
def project(tmp_path: Path, store: Store) -> Sharer:
    """This project."""
    return Sharer(tmp_path / "project", store.root)


@pytest.fixture
def old(store: Store) -> LockedModel:
    """The model at an old commit."""
    return locked_model(store.root, "1" * 40)


@pytest.fixture
def new(store: Store) -> LockedModel:
    """The model at a newer commit, with another configuration and the same weights."""
    return locked_model(store.root, "2" * 40, newer=True)


@pytest.fixture
def moved(project: Sharer, old: LockedModel, new: LockedModel) -> LockedModel:
    """The old commit, after the project has moved to the new one. Both are in the cache."""
    project.pull(old)
    project.pull(new)
    return old
