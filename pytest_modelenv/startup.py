"""What every test run pays for, whether it uses models or not: options, markers, and the way to everything else.

So nothing is made here that such a run does not need, and no other module of ours is imported.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_modelenv.guards.guards import ModelGuards
    from pytest_modelenv.run import ModelRun
    from pytest_modelenv.scopes import Scopes
    from pytest_modelenv.session_cache import ModelSession

HOST_OFF, HOST_RUN, HOST_KEEP = "off", "run", "keep"
SOURCE_VARIABLE = "MODEL_SOURCE"
CACHE_VARIABLE = "MODEL_CACHE_DIR"
NEEDS_REAL_MODELS = "needs --real-models"
FAKES = "modelenv: fakes; real models with --real-models"  # the header of a run that asks for nothing

ENDPOINT_OF_RUN = "modelenv_endpoint"  # the key under which a worker of pytest-xdist is told it

_ONLY_SHOWN = (
    "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "collectonly", "setupplan", "cacheshow",
)  # fmt: skip

# This process's part of the run, once something of it uses models.
RUN: pytest.StashKey[ModelRun] = pytest.StashKey()
# The guards of this process, once there is something to guard.
GUARDS: pytest.StashKey[ModelGuards] = pytest.StashKey()
# What tells the library which test runs.
SCOPES: pytest.StashKey[Scopes] = pytest.StashKey()
# The test that runs in this process, and the file or folder that is being collected.
RUNNING: pytest.StashKey[pytest.Item | None] = pytest.StashKey()
COLLECTING: pytest.StashKey[str | None] = pytest.StashKey()
# The HF_ENDPOINT with which the run started, None without one: a conftest.py may set another later.
ENDPOINT: pytest.StashKey[str | None] = pytest.StashKey()
# Whether a file of the project may force a source.
FILE_MAY_FORCE: pytest.StashKey[bool] = pytest.StashKey()
# The value of the source that is forced while a test runs, for those tests that have one.
FORCED_SOURCE: pytest.StashKey[str] = pytest.StashKey()

# With their signatures: `markers` has a function of each name, which checks the arguments.
MARKERS = {
    "integration": "integration(host=True): needs real models; skipped without --real-models; host=False: in the "
    "test's own process, also with --model-host",
    "model": "model(name, task=None, **pipeline_kwargs): the model this test uses; the fixture `model` is its "
    "pipeline",
    "model_access": "model_access: this test may reach the Hub and load real weights, in every run",
    "model_source": "model_source(source): force this model source for the test, with all its fixtures",
}


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
        help="one process holds the real models for all workers, which then never import torch: for this run "
        "(default), or kept for the next ones; off: each worker loads its own",
    )
    group.addoption(
        "--model-memory",
        metavar="SIZE",
        help="how much memory real models may take, such as 4G or 50%% (default) of the machine's; what was not used "
        "for longest is unloaded",
    )
    group.addoption(
        "--no-model-plan",
        action="store_true",
        default=False,
        help="with --real-models, keep the order in which tests were collected, instead of model after model",
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


def asks_for_nothing(config: pytest.Config) -> bool:
    """Whether the user says nothing of models, so that there is nothing to resolve before a test asks for one."""
    option = config.option
    asked = option.real_models or option.model_source is not None or option.model_cache_dir is not None
    variables = os.environ.get(SOURCE_VARIABLE) or os.environ.get(CACHE_VARIABLE)
    return not (asked or variables or config.getini("model_cache_dir") or a_file_may_force(config))


def a_file_may_force(config: pytest.Config) -> bool:
    """Whether the project's `pyproject.toml` or `.env` may name a source; read once, as texts, which takes no time.

    They are found as `modelenv.Settings` finds them: the nearest project's file, and `.env` beside it. Only a project
    in which they may is read by `Settings`, which has to be imported first.
    """
    if FILE_MAY_FORCE not in config.stash:
        config.stash[FILE_MAY_FORCE] = _names_a_source()
    return config.stash[FILE_MAY_FORCE]


def _names_a_source() -> bool:
    start = os.path.realpath(".")
    folders = [start]
    while (parent := os.path.dirname(folders[-1])) != folders[-1]:  # noqa: PTH120 - without another import
        folders.append(parent)
    project = next((each for each in folders if os.path.isfile(f"{each}/pyproject.toml")), None)  # noqa: PTH113
    table = "" if project is None else _text(f"{project}/pyproject.toml")
    return ("tool.modelenv" in table and "source" in table) or SOURCE_VARIABLE in _text(f"{project or start}/.env")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def runs_tests(config: pytest.Config) -> bool:
    """Whether tests may run: pytest was not asked to show something only."""
    return not any(config.getoption(name, False) for name in _ONLY_SHOWN)


def hub_endpoint() -> str | None:
    """Return HF_ENDPOINT as it is now, None if it is not set."""
    return os.environ.get("HF_ENDPOINT") or None


def run_of(config: pytest.Config) -> ModelRun:
    """Return this process's part of the run, begun now if it was not."""
    if RUN not in config.stash:
        from pytest_modelenv.run import ModelRun

        config.stash[RUN] = ModelRun(config)
        config.pluginmanager.register(config.stash[RUN], "modelenv-run")
    return config.stash[RUN]


def models_of(config: pytest.Config) -> ModelSession:
    """Return the models of this process.

    Raises:
        pytest.UsageError: an option is wrong.
    """
    return run_of(config).models
