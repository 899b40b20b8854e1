"""Small repos without torch, and an embedded Hub for the Hugging Face client of this process."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv import force_environment
from modelenv.environment.project import Alias
from modelenv.fetching.resolving import Locker
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.store import Store

MakeModel = Callable[..., Path]
Lock = Callable[..., LockedModel]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a model's folder by hand: a real config, a tokenizer file, and true safetensors of `weights` bytes."""

    def make(name: str = "model", *, weights: int = 64, **config: object) -> Path:
        folder = tmp_path / "repos" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
        (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
        header = json.dumps({"w": {"dtype": "U8", "shape": [weights], "data_offsets": [0, weights]}}).encode()
        body = (bytes(range(251)) * (weights // 251 + 1))[:weights]
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + body)
        return folder

    return make


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    """An embedded Hub that the Hugging Face libraries of this process use during the test."""
    with EmbeddedHub() as hub:
        variables = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": None,
            "HF_HUB_CACHE": None,
            "HF_TOKEN": None,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        with force_environment(variables=variables):
            yield hub


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def lock(hub: EmbeddedHub, tmp_path: Path) -> Lock:
    """Lock the current state of a repo on the Hub, with a separate store for the fetched files."""

    def make(repo: str = "acme/model", alias: str = "m", **declared: Any) -> LockedModel:
        locker = Locker(Store(tmp_path / "locking"), 30)
        ref = ModelRef(repo, declared.pop("revision", None))
        [locked] = locker.lock({alias: Alias(ref, **declared)}, Lockfile()).models
        hub.clear()
        return locked

    return make
