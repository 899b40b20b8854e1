"""The plugin's options, each resolved to its value and where that came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from pytest_modelenv.startup import CACHE_VARIABLE, HOST_OFF, HOST_RUN, SOURCE_VARIABLE, a_file_may_force

T = TypeVar("T")

DOWNLOAD_ON_DEMAND = "download_on_demand"
LOCAL_CACHE = "local_cache"
MOCK_MODELS = "mock_models"
PLANS = "modelenv_plans"  # the key under which a worker is told whether tests are put in order
_DEFAULT_MEMORY = "50%"
# The ways in which pytest-xdist hands out tests that leave their order to us; others were asked for.
_OWN_ORDER = ("no", "load", "worksteal")
# Options with which pytest itself puts the tests into an order, or goes on in that of the run before.
_ORDERS = ("stepwise", "stepwise_skip", "failedfirst", "newfirst")


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
        forced: what MODEL_SOURCE or a setting of the project says, which forces every other test; None for neither.
        host: whether one process holds the real models for all workers: `off`, `run` or `keep`.
        guards: whether a test with fakes is kept from real models.
        memory: how many bytes the real models may take, in all processes together.
        plans: whether tests are put into an order that suits their models.
    """

    real_models: bool
    source: Resolved[str]
    forced: Resolved[str] | None
    host: Resolved[str]
    guards: bool
    memory: int
    plans: bool


def resolve_options(config: pytest.Config) -> ModelOptions:
    """Return what the user asked for.

    Raises:
        pytest.UsageError: the source is not one of the real ones, or the memory is no amount; the message says
            what is valid.
    """
    option = config.getoption("--model-source")
    forced = _forced_source(config)
    real_models = bool(config.getoption("--real-models"))
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
        guards=not config.getoption("--no-model-guards"),
        memory=_memory(config.getoption("--model-memory") or _DEFAULT_MEMORY),
        plans=real_models and _plans(config),
    )


def _forced_source(config: pytest.Config) -> Resolved[str] | None:
    variable = os.environ.get(SOURCE_VARIABLE, "").strip().lower()
    if variable:
        return Resolved(variable, f"variable {SOURCE_VARIABLE}")
    if not a_file_may_force(config):
        return None
    from modelenv.environment.settings import Settings
    from modelenv.errors import ConfigurationError

    try:
        settings = Settings.load()
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None
    return None if settings.source is None else Resolved(settings.source.value, settings.origins["source"])


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
        return workerinput[PLANS]  # a worker does not know how the controller hands out its tests
    has_an_order = any(config.getoption(name, False) for name in _ORDERS)
    is_ours = config.getoption("dist", "no") in _OWN_ORDER
    return is_ours and not has_an_order and not config.getoption("--no-model-plan")


def shared_cores(workers: int) -> dict[str, str]:
    """Return the variables that let so many processes share the cores; none where the user chose their threads."""
    from modelenv.host.serving.cores import usable_cores

    if os.environ.get("OMP_NUM_THREADS"):
        return {}
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // workers))}


def _real_source(text: str, origin: str) -> str:
    from modelenv.environment.sources import ModelSource

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
