"""The folders that all processes of a run share.

The controller of pytest-xdist chooses them and passes them to its workers. Without pytest-xdist, the only process
chooses them.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_modelenv.options import (
    DOWNLOAD_ON_DEMAND,
    LOCAL_CACHE,
    ModelOptions,
    Resolved,
    chosen_cache_dir,
    project_cache_dir,
    project_settings,
)

_IN_PYTESTS_CACHE, _PYTESTS_CACHE = "modelenv", "pytest's cache folder"
_HANDED_DOWN = "modelenv_folders"


@dataclass(frozen=True)
class SharedFolders:
    """The folders that all processes of a run share.

    Attributes:
        cache: The models folder.
        is_chosen: Whether the user chose the models folder. If so, it is also the local cache.
        run: A folder for this run only. The process that created it removes it at the end.
        controller: The id of the process that created the run's folder. The run ends when this process ends.
    """

    cache: Resolved[Path]
    is_chosen: bool
    run: Path
    controller: int

    @classmethod
    def of(cls, config: pytest.Config, options: ModelOptions) -> SharedFolders:
        """Return the folders from the controller, or choose them here.

        Raises:
            pytest.UsageError: An option or a setting is invalid, or there is no writable temporary folder.
        """
        handed_down = getattr(config, "workerinput", {}).get(_HANDED_DOWN)
        if handed_down is not None:
            cache = Resolved(Path(handed_down["cache"]), handed_down["origin"])
            return cls(cache, handed_down["is_chosen"], Path(handed_down["run"]), handed_down["controller"])
        try:
            run = Path(tempfile.mkdtemp(prefix="modelenv-run-"))
        except OSError as error:
            raise pytest.UsageError(f"modelenv needs a writable temporary folder: {error}") from error
        chosen = chosen_cache_dir(config) or project_cache_dir(config)
        return cls(chosen or _default_cache(config, options, run), chosen is not None, run, os.getpid())

    def hand_down(self, workerinput: dict[str, Any]) -> None:
        """Pass the folders to a worker, as plain types, because `workerinput` takes nothing else."""
        workerinput[_HANDED_DOWN] = {
            "cache": str(self.cache.value),
            "origin": self.cache.origin,
            "is_chosen": self.is_chosen,
            "run": str(self.run),
            "controller": self.controller,
        }


def _default_cache(config: pytest.Config, options: ModelOptions, run: Path) -> Resolved[Path]:
    if options.source.value == LOCAL_CACHE and (settings := project_settings(config)) is not None:
        return Resolved(settings.cache_dir, "the local cache, default")
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is None:  # pytest runs with -p no:cacheprovider
        return Resolved(run / "cache", "a folder of this run, because pytest has no cache folder")
    return Resolved(cache.mkdir(_IN_PYTESTS_CACHE), _PYTESTS_CACHE)


def early_cache_dir(config: pytest.Config, source: str) -> Resolved[str | None] | None:
    """Return the models folder for a source before pytest is configured, with None for a source with its own folder.

    Returns:
        None if the folder is not known yet.

    Raises:
        pytest.UsageError: An option or a setting is invalid.
    """
    if source not in (DOWNLOAD_ON_DEMAND, LOCAL_CACHE):
        return Resolved(None, "default")
    chosen = chosen_cache_dir(config) or project_cache_dir(config)
    if chosen is not None:
        return Resolved(str(chosen.value), chosen.origin)
    if source == LOCAL_CACHE:
        return Resolved(None, "default")
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return None
    cache = pytest.Cache.for_config(config, _ispytest=True)  # the only way before pytest is configured
    return Resolved(str(cache.mkdir(_IN_PYTESTS_CACHE)), _PYTESTS_CACHE)
