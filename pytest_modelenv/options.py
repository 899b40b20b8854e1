"""The plugin's options, each with its value and the origin of the value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from pytest_modelenv.option_names import ini_of, option_of
from pytest_modelenv.project_files import project_texts
from pytest_modelenv.startup import (
    CACHE_VARIABLE,
    HOST_OFF,
    HOST_RUN,
    SOURCE_VARIABLE,
    SOURCES,
    a_file_may_force,
    guards_mode,
)

if TYPE_CHECKING:
    from modelenv.environment.settings import Settings

T = TypeVar("T")

DOWNLOAD_ON_DEMAND = "download_on_demand"
LOCAL_CACHE = "local_cache"
MOCK_MODELS = "mock_models"
HUB_CACHE_VARIABLE = "HF_HUB_CACHE"
PLANS = "modelenv_plans"  # the key in `workerinput`: whether the tests are reordered
_INI_SOURCE = "ini-option model_source"
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
        real_models: Whether tests that need real models get them.
        source: The `ModelSource` of the real models, as a string.
        forced: The source for all other tests, from MODEL_SOURCE or a setting of the project. None if not set.
        suite: The source that all tests get by the ini-option `model_source`, or what overrides it. None if not set.
        host: Whether one process holds the real models for all workers: `off`, `run` or `keep`.
        guards: What happens if a test with fakes accesses a real model: `report`, `error` or `off`.
        memory: The memory limit for real models in bytes, for all processes together.
        plans: Whether the tests are reordered by their models.
    """

    real_models: bool
    source: Resolved[str]
    forced: Resolved[str] | None
    suite: Resolved[str] | None
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
    asked = bool(option_of(config, "real_models"))
    suite = suite_source(config)
    real_models = asked or (suite is not None and suite.value != MOCK_MODELS)
    return ModelOptions(
        real_models,
        real_source(config),
        _forced_source(config),
        suite,
        host=_host(config, asked, real_models),
        guards=guards_mode(config),
        memory=_memory(option_of(config, "model_memory") or _DEFAULT_MEMORY),
        plans=asked and _plans(config),
    )


def suite_source(config: pytest.Config) -> Resolved[str] | None:
    """Return the source of all tests that have no other one, or None if the ini-option `model_source` is not set.

    Raises:
        pytest.UsageError: It is not a source.
    """
    ini = str(ini_of(config, "model_source") or "").strip().lower()
    if not ini:
        return None
    _check_source(ini, _INI_SOURCE, SOURCES)
    option = option_of(config, "model_source")
    if option is not None:
        return Resolved(_real_source(option, "--model-source"), "--model-source")
    variable = _source_variable()
    if variable:
        return Resolved(
            _check_source(variable, f"variable {SOURCE_VARIABLE}", SOURCES), f"variable {SOURCE_VARIABLE}"
        )
    return Resolved(ini, _INI_SOURCE)


def real_source(config: pytest.Config) -> Resolved[str]:
    """Return the source of real models.

    Raises:
        pytest.UsageError: It is not a source of real models.
    """
    option, suite = option_of(config, "model_source"), suite_source(config)
    if option is not None:
        return Resolved(_real_source(option, "--model-source"), "--model-source")
    if suite is not None and suite.value != MOCK_MODELS:
        return suite
    if option_of(config, "real_models"):
        forced = _forced_source(config)
        if forced is not None and forced.value != MOCK_MODELS:
            return Resolved(_real_source(forced.value, forced.origin), forced.origin)
    return Resolved(DOWNLOAD_ON_DEMAND, "default")


def _forced_source(config: pytest.Config) -> Resolved[str] | None:
    variable = _source_variable()
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
        if option_of(config, "real_models") or "tool.modelenv" in project_texts(config)[0]:
            raise pytest.UsageError(str(error)) from None
        return None


def _source_variable() -> str:
    return os.environ.get(SOURCE_VARIABLE, "").strip().lower()


def _host(config: pytest.Config, asked: bool, real_models: bool) -> Resolved[str]:
    option = option_of(config, "model_host")
    if option is not None:
        return Resolved(option if real_models else HOST_OFF, f"--model-host={option}")
    return Resolved(HOST_RUN if asked else HOST_OFF, "default")


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
    return is_ours and not has_an_order and not option_of(config, "no_model_plan")


def shared_cores(workers: int) -> dict[str, str]:
    """Return the variables that divide the cores among `workers`. Empty if the user has set OMP_NUM_THREADS."""
    from modelenv.host.serving.cores import usable_cores

    if os.environ.get("OMP_NUM_THREADS"):
        return {}
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // workers))}


def hub_cache() -> str | None:
    """Return the current value of HF_HUB_CACHE, or None if it is not set."""
    return os.environ.get(HUB_CACHE_VARIABLE)


def _real_source(text: str, origin: str) -> str:
    real = [source for source in SOURCES if source != MOCK_MODELS]
    return _check_source(text.strip().lower(), origin, real, "a source of real models", repr(text))


def _check_source(
    value: str, origin: str, valid: Sequence[str], what: str = "a source of models", shown: str | None = None
) -> str:
    if value not in valid:
        raise pytest.UsageError(f"{origin}: {shown or repr(value)} is not {what}; choose one of {', '.join(valid)}")
    return value


def chosen_cache_dir(config: pytest.Config) -> Resolved[Path] | None:
    """Return the cache folder that the user chose for the tests by option, variable or ini-file, or None.

    Raises:
        pytest.UsageError: The option is empty, or the path is a file.
    """
    option = option_of(config, "model_cache_dir")
    variable = os.environ.get(CACHE_VARIABLE)
    ini = str(ini_of(config, "model_cache_dir") or "")
    if option is not None:
        return _folder(option, config.invocation_params.dir, "--model-cache-dir")
    if variable:
        # Without --real-models, the variable could belong to another program.
        needed = bool(option_of(config, "real_models"))
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
