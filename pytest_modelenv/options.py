"""The plugin's options, each resolved to its value and where that came from.

What is imported here, every test run imports; so values are named tuples, which are made faster than dataclasses.

PYTEST_DONT_REWRITE: no assertion here, and every test run imports this.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import pytest

T = TypeVar("T")

DOWNLOAD_ON_DEMAND = "download_on_demand"
LOCAL_CACHE = "local_cache"
MOCK_MODELS = "mock_models"
HOST_OFF, HOST_RUN, HOST_KEEP = "off", "run", "keep"
SOURCE_VARIABLE = "MODEL_SOURCE"
CACHE_VARIABLE = "MODEL_CACHE_DIR"
ENDPOINT = "modelenv_endpoint"  # the key under which a worker finds the endpoint of the run


class Resolved(NamedTuple, Generic[T]):
    """A value, and where it came from."""

    value: T
    origin: str


class ModelOptions(NamedTuple):
    """What the user asked for.

    Attributes:
        real_models: whether integration tests get real models.
        source: the value of the `ModelSource` they come from.
        forced: what MODEL_SOURCE says, which forces every other test; None if it is not set.
        host: whether one process holds the real models for all workers: `off`, `run` or `keep`.
    """

    real_models: bool
    source: Resolved[str]
    forced: str | None
    host: str


class GuardOptions(NamedTuple):
    """What the user asked of the guards.

    Attributes:
        enabled: whether there are any.
        forbids_imports: whether importing torch or transformers in a fast run is an error.
        real_models: whether this is no fast run: integration tests get real models.
        endpoint: the HF_ENDPOINT of the moment, None if it is not set.
    """

    enabled: bool
    forbids_imports: bool
    real_models: bool
    endpoint: str | None


def add_options(parser: pytest.Parser) -> None:
    """Add the options to the command line and the ini-file."""
    group = parser.getgroup("modelenv", "models: fakes in unit tests, real models in integration tests")
    group.addoption(
        "--real-models",
        action="store_true",
        default=False,
        help="run the tests marked `integration`, with real models; all others still get fakes",
    )
    group.addoption(
        "--model-source",
        metavar="SOURCE",
        help="where --real-models gets them: download_on_demand (default), local_cache, persistent_volume or "
        "huggingface_hub",
    )
    group.addoption(
        "--model-cache-dir",
        metavar="DIR",
        help="folder of models that all workers share; by default MODEL_CACHE_DIR, else the ini-option "
        "model_cache_dir, else modelenv/ in pytest's cache folder",
    )
    group.addoption(
        "--model-host",
        choices=(HOST_OFF, HOST_RUN, HOST_KEEP),
        default=HOST_OFF,
        help="one process holds the real models for all workers, which then never import torch: for this run, or "
        "kept for the next ones; off (default): each worker loads its own",
    )
    group.addoption(
        "--no-model-guards",
        action="store_true",
        default=False,
        help="let tests without real models reach the Hub and load real weights all the same",
    )
    parser.addini(
        "forbid_heavy_imports",
        "importing torch or transformers in a run without --real-models is an error, outside of tests that are "
        "marked model_access",
        type="bool",
        default=False,
    )
    parser.addini("model_cache_dir", "folder of models that all workers share, relative to rootdir", default="")


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
    return ModelOptions(real_models, source, forced, str(config.getoption("--model-host")))


def guard_options(config: pytest.Config) -> GuardOptions:
    """Return what the user asked of the guards; may be called before pytest has read all its options."""
    known = config.known_args_namespace
    return GuardOptions(
        enabled=not getattr(known, "no_model_guards", False),
        forbids_imports=bool(config.getini("forbid_heavy_imports")),
        real_models=bool(getattr(known, "real_models", False)),
        endpoint=hub_endpoint(),
    )


def hub_endpoint() -> str | None:
    """Return HF_ENDPOINT, None if it is not set."""
    return os.environ.get("HF_ENDPOINT") or None


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
