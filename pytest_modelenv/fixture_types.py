"""Protocols, for type checkers, of the fixtures that return functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from modelenv.environment.sources import ModelSource


class ForceEnvironment(Protocol):
    """The type of the fixture `model_env`."""

    def __call__(
        self,
        source: ModelSource | str | None = None,
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        volume_dir: str | os.PathLike[str] | None = None,
        **variables: str | None,
    ) -> None:
        """Force a source, a folder or variables until the test ends."""


class MakeTinyModel(Protocol):
    """The type of the fixture `tiny_model`."""

    def __call__(self, task: str, *, seed: int = 0) -> Path:
        """Return the folder of a tiny model for `task`."""
