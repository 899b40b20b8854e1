"""A load from a volume during an update gets either the old set or the new set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.sources import ModelSource
from modelenv.errors import ModelIntegrityError, ModelLoadTimeoutError
from modelenv.loading.choose_folder import FolderChoice
from modelenv.loading.load import Loader
from modelenv.loading.request import LoadRequest
from modelenv.loading.shared import Run
from modelenv.loading.spec import ModelSpec
from modelenv.locks.values import LockedModel
from modelenv.store.store import Store

from .conftest import REF, Fill


class Building:
    """Builds from two files of the folder, with one event before each of them, once."""

    def __init__(self, *events: Callable[[], Any]) -> None:
        self.events = list(events)
        self.folders: list[str] = []

    def __call__(self, spec: ModelSpec, _: Deadline) -> tuple[Any, bool]:
        folder = spec.folder
        self.folders.append(folder.name)
        parts = []
        for name in ("config.json", "tokenizer.json"):
            if self.events:
                self.events.pop(0)()
            parts.append(json.loads(path.read_text()) if (path := folder / name).exists() else None)
        if parts[0] is None:
            raise ModelIntegrityError("there is no configuration", model=REF.repo_id, found=str(folder))
        return parts[0], parts[1] is not None


def load(root: Path, building: Building, seconds: float = 20) -> tuple[dict[str, Any], bool]:
    request = LoadRequest(REF, "text-classification", "sentiment", {}, "cpu")
    run = Run(build=building)
    loader = Loader(FolderChoice(ModelSource.PERSISTENT_VOLUME, Store(root), run), run)
    loaded: tuple[dict[str, Any], bool] = loader.load(request, Deadline(seconds))
    return loaded


def nothing() -> None:
    """No event."""


OLD, NEW = ({"model_type": "bert"}, True), ({"model_type": "bert", "newest": True}, True)


def test_an_update_and_further_pulls_do_not_disturb_a_reader(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    building = Building(lambda: fill(second), lambda: [fill(second), fill(second)])
    assert load(root, building) == OLD
    assert building.folders == ["model"]


@pytest.mark.parametrize("number", [0, 1])
def test_two_updates_while_a_model_is_built_give_the_new_set(
    fill: Fill, first: LockedModel, second: LockedModel, third: LockedModel, root: Path, number: int
) -> None:
    fill(first)
    building = Building(*[nothing] * number, lambda: [fill(second), fill(third)])
    assert load(root, building) == NEW
    assert building.folders == ["model", f"model@{third.commit[:12]}"]


def test_endless_updates_end_at_the_deadline(
    fill: Fill, first: LockedModel, second: LockedModel, third: LockedModel, root: Path
) -> None:
    fill(first)
    building = Building(lambda: [fill(second), fill(third)])
    with pytest.raises(ModelLoadTimeoutError) as caught:
        load(root, building, 0)
    assert caught.value.found is not None
    assert caught.value.found.startswith("still loading it, because updates of the volume kept replacing its files")


def test_damage_while_a_model_is_built_is_found(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    with pytest.raises(ModelIntegrityError, match="its files do not match the lock: 1 missing"):
        load(root, Building(nothing, (root / "acme/model/tokenizer.json").unlink))
