"""The plugin's options, each resolved to its value and where that came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from pytest_modelenv.startup import CACHE_VARIABLE, SOURCE_VARIABLE

T = TypeVar("T")

DOWNLOAD_ON_DEMAND = "download_on_demand"
LOCAL_CACHE = "local_cache"
MOCK_MODELS = "mock_models"


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A value, and where it came from."""

    value: T
    origin: str


@dataclass(frozen=True)
class ModelOptions:
    """What the user asked for.

    Attributes:
        real_models: whether integration tests get real models.
        source: the value of the `ModelSource` they come from.
        forced: what MODEL_SOURCE says, which forces every other test; None if it is not set.
        host: whether one process holds the real models for all workers: `off`, `run` or `keep`.
        guards: whether a test with fakes is kept from real models.
    """

    real_models: bool
    source: Resolved[str]
    forced: str | None
    host: str
    guards: bool


def resolve_options(config: pytest.Config) -> ModelOptions:
    """Return what the user asked for.

    Raises:
        pytest.UsageError: the source is not one of the real ones; the message lists those.
    """
    option = config.getoption("--model-source")
    forced = os.environ.get(SOURCE_VARIABLE, "").strip().lower() or None
    real_models = bool(config.getoption("--real-models"))
    if option is not None:
        source = Resolved(_real_source(option, "--model-source"), "--model-source")
    elif real_models and forced is not None and forced != MOCK_MODELS:
        origin = f"variable {SOURCE_VARIABLE}"
        source = Resolved(_real_source(forced, origin), origin)
    else:
        source = Resolved(DOWNLOAD_ON_DEMAND, "default")
    host, guards = str(config.getoption("--model-host")), not config.getoption("--no-model-guards")
    return ModelOptions(real_models, source, forced, host, guards)


def _real_source(text: str, origin: str) -> str:
    from modelenv.sources import ModelSource

    real = [source.value for source in ModelSource if source is not ModelSource.MOCK_MODELS]
    if text.strip().lower() not in real:
        raise pytest.UsageError(f"{origin}: {text!r} is not a source of real models; valid are {', '.join(real)}")
    return text.strip().lower()


def chosen_cache_dir(config: pytest.Config) -> Resolved[Path] | None:
    """Return the cache folder that the user chose by option, variable or ini-file, if any.

    Raises:
        pytest.UsageError: the option is empty, or there is a file in the folder's place.
    """
    option = config.getoption("--model-cache-dir")
    variable = os.environ.get(CACHE_VARIABLE)
    ini = str(config.getini("model_cache_dir"))
    if option is not None:
        return _folder(option, config.invocation_params.dir, "--model-cache-dir")
    if variable:
        return _folder(variable, Path.cwd(), f"variable {CACHE_VARIABLE}")
    if ini:
        return _folder(ini, config.rootpath, "ini-option model_cache_dir")
    return None


def _folder(text: str, base: Path, origin: str) -> Resolved[Path]:
    if not text.strip():
        raise pytest.UsageError(f"{origin}: a folder is needed, an empty text was given")
    folder = base / Path(text).expanduser()
    if folder.exists() and not folder.is_dir():
        raise pytest.UsageError(f"{origin}: {folder} is not a folder")
    return Resolved(folder, origin)
