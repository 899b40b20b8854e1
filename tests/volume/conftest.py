"""A volume that is filled from an embedded Hub, and one model at several commits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store
from modelenv.volume.filling import Filled, Volume
from modelenv.volume.layout import VolumeLayout
from modelenv.volume.reading import find_on_volume, volume_metadata
from modelenv.volume.sharing import Others

from ..fetching.conftest import Lock, MakeModel, hub, lock, make_model, store

__all__ = ["hub", "lock", "make_model", "store"]  # fixtures

REF = ModelRef("acme/model")
Fill = Callable[..., Filled]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volume's folder, which does not exist yet."""
    return tmp_path / "volume"


@pytest.fixture
def first(hub: EmbeddedHub, make_model: MakeModel, lock: Lock) -> LockedModel:
    """A locked model at its first commit."""
    hub.add(make_model(), "acme/model")
    return lock()


@pytest.fixture
def second(hub: EmbeddedHub, first: LockedModel, lock: Lock, tmp_path: Path) -> LockedModel:
    """The same model at a newer commit."""
    return push(hub, lock, tmp_path / "repos/model", '{"model_type": "bert", "newer": true}')


@pytest.fixture
def third(hub: EmbeddedHub, second: LockedModel, lock: Lock, tmp_path: Path) -> LockedModel:
    """The same model at a third commit."""
    return push(hub, lock, tmp_path / "repos/model", '{"model_type": "bert", "newest": true}')


def push(hub: EmbeddedHub, lock: Lock, source: Path, config: str) -> LockedModel:
    """Push another configuration of the model, and lock the new commit."""
    (source / "config.json").write_text(config)
    hub.add(source, "acme/model")
    return lock()


@pytest.fixture
def fill(root: Path, store: Store) -> Fill:
    """A function that fills the volume with the given models."""

    def run(*models: LockedModel, others: Others = Others.REFUSED, layout: VolumeLayout | None = None) -> Filled:
        def obtain(model: LockedModel) -> Path:
            return obtain_locked(store, model, Deadline(20), fetches=True, checks=Checks()).path

        return Volume(root).fill(Lockfile(models), obtain, Deadline(20), others=others, layout=layout)

    return run


def read(root: Path, ref: ModelRef = REF, locked: LockedModel | None = None) -> Path:
    """Return the verified folder of the model on the volume."""
    metadata = volume_metadata(root)
    assert metadata is not None
    return find_on_volume(root, metadata, ref, locked=locked, checks=Checks())
