"""The plugin's options, each with its value and the origin of the value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from pytest_modelenv.project_files import project_texts
from pytest_modelenv.startup import (
    CACHE_VARIABLE,
    HOST_OFF,
    HOST_RUN,
    SOURCE_VARIABLE,
    a_file_may_force,
    guards_mode,
)

if TYPE_CHECKING:
    from modelenv.environment.settings import Settings

T = TypeVar("T")

DOWNLOAD_ON_DEMAND = "download_on_demand"
LOCAL_CACHE = "local_cache"
MOCK_MODELS = "mock_models"
PLANS = "modelenv_plans"  # the key in `workerinput`: whether the tests are reordered
_DEFAULT_MEMORY = "50%"
# The modes of pytest-xdist's --dist in which the plugin can reorder the tests.
_OWN_ORDER = ("no", "load", "worksteal")
# Options with which pytest itself orders the tests, or continues the previous run.
_ORDERS = ("stepwise", "stepwise_skip", "failedfirst", "newfirst")


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A value and its origin."""

    value: T
    origin: str


@dataclass(frozen=True)
class ModelOptions:
    """The user's options.

    Attributes:
        real_models: Whether integration tests get real models.
        source: The `ModelSource` of the real models, as a string.
        forced: The source for all other tests, from MODEL_SOURCE or a setting of the project. None if not set.
        host: Whether one process holds the real models for all workers: `off`, `run` or `keep`.
        guards: What happens if a test with fakes accesses a real model: `report`, `error` or `off`.
        memory: The memory limit for real models in bytes, for all processes together.
        plans: Whether the tests are reordered by their models.
    """

    real_models: bool
    source: Resolved[str]
    forced: Resolved[str] | None
    host: Resolved[str]
    guards: str
    memory: int
    plans: bool


def resolve_options(config: pytest.Config) -> ModelOptions:
    """Return the user's options.

    Raises:
        pytest.UsageError: The source is not a source of real models, or the memory limit is invalid. The message
            lists the valid values.
    """
    option = config.getoption("--model-source")
    real_models = bool(config.getoption("--real-models"))
    forced = _forced_source(config)
    if option is not None:
        source = Resolved(_real_source(option, "--model-source"), "--model-source")
    elif real_models and forced is not None and forced.value != MOCK_MODELS:
        source = Resolved(_real_source(forced.value, forced.origin), forced.origin)
    else:
        source = Resolved(DOWNLOAD_ON_DEMAND, "default")
    return ModelOptions(
        real_models,
        source,
        forced,
        host=_host(config, real_models),
        guards=guards_mode(config),
        memory=_memory(config.getoption("--model-memory") or _DEFAULT_MEMORY),
        plans=real_models and _plans(config),
    )


def _forced_source(config: pytest.Config) -> Resolved[str] | None:
    variable = os.environ.get(SOURCE_VARIABLE, "").strip().lower()
    if variable:
        return Resolved(variable, f"variable {SOURCE_VARIABLE}")
    if not a_file_may_force(config):
        return None
    settings = project_settings(config)
    if settings is None or settings.source is None:
        return None
    return Resolved(settings.source.value, settings.origins["source"])


def project_settings(config: pytest.Config) -> Settings | None:
    """Return the settings of this process and of the project.

    Returns:
        None if a setting is invalid but could belong to another program, such as a MODEL_SOURCE in `.env`. The run
        continues, and tests that use modelenv report the error.

    Raises:
        pytest.UsageError: A setting is invalid, and the user asked for real models or the project has a table
            `[tool.modelenv]`.
    """
    from modelenv.environment.settings import Settings
    from modelenv.errors import ConfigurationError

    try:
        return Settings.load()
    except ConfigurationError as error:
        if config.getoption("--real-models") or "tool.modelenv" in project_texts(config)[0]:
            raise pytest.UsageError(str(error)) from None
        return None


def _host(config: pytest.Config, real_models: bool) -> Resolved[str]:
    option = config.getoption("--model-host")
    if option is not None:
        return Resolved(option if real_models else HOST_OFF, f"--model-host={option}")
    return Resolved(HOST_RUN if real_models else HOST_OFF, "default")


def _memory(text: str) -> int:
    from pytest_modelenv.memory import machine_memory, parse_memory

    try:
        return parse_memory(text, machine_memory())
    except ValueError as error:
        raise pytest.UsageError(f"--model-memory: {error}") from None


def _plans(config: pytest.Config) -> bool:
    workerinput: dict[str, bool] | None = getattr(config, "workerinput", None)
    if workerinput is not None:
        return workerinput[PLANS]  # a worker does not know the controller's --dist mode
    has_an_order = any(config.getoption(name, False) for name in _ORDERS)
    is_ours = config.getoption("dist", "no") in _OWN_ORDER
    return is_ours and not has_an_order and not config.getoption("--no-model-plan")


def shared_cores(workers: int) -> dict[str, str]:
    """Return the variables that divide the cores among `workers`. Empty if the user has set OMP_NUM_THREADS."""
    from modelenv.host.serving.cores import usable_cores

    if os.environ.get("OMP_NUM_THREADS"):
        return {}
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // workers))}


def _real_source(text: str, origin: str) -> str:
    from modelenv.environment.sources import ModelSource

    real = [source.value for source in ModelSource if source is not ModelSource.MOCK_MODELS]
    if text.strip().lower() not in real:
        raise pytest.UsageError(f"{origin}: {text!r} is not a source of real models; choose one of {', '.join(real)}")
    return text.strip().lower()


def chosen_cache_dir(config: pytest.Config) -> Resolved[Path] | None:
    """Return the cache folder that the user chose for the tests by option, variable or ini-file, or None.

    Raises:
        pytest.UsageError: The option is empty, or the path is a file.
    """
    option = config.getoption("--model-cache-dir")
    variable = os.environ.get(CACHE_VARIABLE)
    ini = str(config.getini("model_cache_dir"))
    if option is not None:
        return _folder(option, config.invocation_params.dir, "--model-cache-dir")
    if variable:
        # Without --real-models, the variable could belong to another program.
        needed = bool(config.getoption("--real-models"))
        return _folder(variable, Path.cwd(), f"variable {CACHE_VARIABLE}", check=needed)
    if ini:
        return _folder(ini, config.rootpath, "ini-option model_cache_dir")
    return None


def project_cache_dir(config: pytest.Config) -> Resolved[Path] | None:
    """Return the cache folder in the project's `.env` or `pyproject.toml`, or None.

    `modelenv pull` stores models there, and the source `local_cache` loads them from there.

    Raises:
        pytest.UsageError: A setting is invalid.
    """
    project, variables = project_texts(config)
    if not ("tool.modelenv" in project and "cache_dir" in project) and CACHE_VARIABLE not in variables:
        return None  # without importing the library
    settings = project_settings(config)
    if settings is None or settings.origins["cache_dir"] == "default":
        return None
    return Resolved(settings.cache_dir, settings.origins["cache_dir"])


def _folder(text: str, base: Path, origin: str, *, check: bool = True) -> Resolved[Path]:
    if check and not text.strip():
        raise pytest.UsageError(f"{origin}: expected a folder, but the value is empty")
    folder = base / Path(text).expanduser()
    if check and folder.exists() and not folder.is_dir():
        raise pytest.UsageError(f"{origin}: {folder} is not a folder")
    return Resolved(folder, origin)
