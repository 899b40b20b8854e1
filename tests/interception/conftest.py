"""A project with locked models on an embedded Hub, in which `modelenv.install()` is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import modelenv
from modelenv import Installation, Settings
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.locks.values import LockedModel

from ..fetching.conftest import Lock, MakeModel, hub, lock, make_model

__all__ = ["hub", "lock", "make_model"]

REPO = "acme/model"
LARGE = 20_000  # bytes of weights, so that the Hub keeps them in large file storage


@pytest.fixture
def folder(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    """The folder of the model that is on the Hub."""
    folder = make_model(weights=LARGE)
    (folder / "README.md").write_text("# A model\n")
    hub.add(folder, REPO)
    return folder


@pytest.fixture
def locked(folder: Path, lock: Lock) -> LockedModel:
    """The locked model."""
    return lock()


@pytest.fixture
def project(tmp_path: Path, locked: LockedModel) -> Path:
    """A project with a lock of the model, and an empty cache."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(f'[tool.modelenv.models]\nm = "{REPO}"\n')
    write_lockfile(folder / "modelenv.lock", Lockfile((locked,)))
    return folder


Install = Callable[..., Installation]


@pytest.fixture
def install(project: Path, hub: EmbeddedHub) -> Iterator[Install]:
    """Call `modelenv.install()` in the project. The Hub's log is empty afterwards, and the test's end undoes it."""

    def call(source: str = "local_cache", *, refuse: bool | None = None, **settings: Any) -> Installation:
        defaults = {"cache_dir": project / "cache", "timeout": 60}
        found = Settings.load(source=source, project_dir=project, **{**defaults, **settings})
        hub.clear()
        return modelenv.install(settings=found, refuse=refuse)

    yield call
    modelenv.uninstall()


def asked(hub: EmbeddedHub) -> list[str]:
    """The requests that reached the Hub, without their queries."""
    return [f"{request.method} {request.kind} {request.file or ''}".rstrip() for request in hub.requests]
