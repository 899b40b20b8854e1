"""Constants, options and markers: all that every test run needs, whether it uses models or not.

This module creates nothing else, and imports no other module of modelenv but `option_names` and `project_files`.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_modelenv.option_names import OptionNames, ini_of, is_strict, option_of
from pytest_modelenv.project_files import project_table, project_texts

HOST_OFF, HOST_RUN, HOST_KEEP = "off", "run", "keep"
# The values of `modelenv.environment.sources.ModelSource`.
SOURCES = ("persistent_volume", "mock_models", "download_on_demand", "local_cache", "huggingface_hub")
GUARDS_REPORT, GUARDS_ERROR, GUARDS_OFF = "report", "error", "off"
SOURCE_VARIABLE = "MODEL_SOURCE"
CACHE_VARIABLE = "MODEL_CACHE_DIR"
NEEDS_REAL_MODELS = "needs --real-models"
FAKES = "modelenv: fakes; real models with --real-models"  # the header of a run without any options

ENDPOINT_OF_RUN = "modelenv_endpoint"  # keys in the `workerinput` of pytest-xdist
START_OF_RUN = "modelenv_started"
GUARDS_OF_RUN = "modelenv_guards"
# Two kinds of facts: attributes of test reports, and keys of a worker's output.
IMPORTS, REQUESTS = "modelenv_imports", "modelenv_requests"

_GUARDS = (GUARDS_REPORT, GUARDS_ERROR, GUARDS_OFF)
_ONLY_SHOWN = (
    "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "collectonly", "setupplan", "cacheshow",
)  # fmt: skip

# The running test of this process, and the file or folder that is being collected.
RUNNING: pytest.StashKey[pytest.Item | None] = pytest.StashKey()
COLLECTING: pytest.StashKey[str | None] = pytest.StashKey()
# The value of HF_ENDPOINT at the start of the run, or None. A conftest.py can change it later.
ENDPOINT: pytest.StashKey[str | None] = pytest.StashKey()
# When the run started, in seconds since the epoch. Under pytest-xdist: when the controller started.
STARTED: pytest.StashKey[float] = pytest.StashKey()
# The error message for a test with an invalid marker.
MISTAKE: pytest.StashKey[str] = pytest.StashKey()
# The source that is forced while the test runs, for tests that have one.
FORCED_SOURCE: pytest.StashKey[str] = pytest.StashKey()

TEST, COLLECTED, OTHER_CODE = "test", "collected", "other"  # the kinds of running code

INTEGRATION = "integration"  # the gate marker, unless the ini-option model_marker names another one
# The markers with their signatures. `markers` has a function with each name, which checks the arguments.
MARKERS = {
    "model": "model(name, task=None, **pipeline_kwargs): the model this test uses; the fixture `model` is its "
    "pipeline",
    "model_access": "model_access: this test may reach the Hub and load real weights, in every run",
    "model_source": "model_source(source): force this model source for the test, with all its fixtures",
}
_GATE = (
    "(host=True): needs real models; skipped without --real-models; host=False: in the test's own process, also with "
    "--model-host"
)


def add_options(parser: pytest.Parser, config: pytest.Config) -> None:
    """Add the options to the command line and the ini-file.

    pytest stores them under names with a prefix: a project can have an option `--model_source` of its own. If it has
    one with the same name, as `--model-source`, it replaces the plugin's.
    """
    group = OptionNames(parser, config, "models: fakes in unit tests, real models in integration tests")
    group.addoption(
        "--real-models",
        dest="modelenv_real_models",
        action="store_true",
        default=False,
        help="run the tests marked `integration`, with real models; all others still get fakes",
    )
    group.addoption(
        "--model-source",
        dest="modelenv_model_source",
        metavar="SOURCE",
        help="where --real-models gets them: download_on_demand, local_cache, persistent_volume or "
        "huggingface_hub; by default MODEL_SOURCE, else the ini-option model_source, else download_on_demand",
    )
    group.addoption(
        "--model-cache-dir",
        dest="modelenv_model_cache_dir",
        metavar="DIR",
        help="folder of models that all workers share; by default MODEL_CACHE_DIR, else the ini-option "
        "model_cache_dir, else MODEL_CACHE_DIR in .env, else cache_dir in [tool.modelenv], else a folder in "
        "pytest's cache",
    )
    group.addoption(
        "--model-host",
        dest="modelenv_model_host",
        metavar="{off,run,keep}",
        help="one process holds the real models for all workers, which then never import torch; run (default): it "
        "ends with the run; keep: it stays for the next runs; off: each worker loads its own models",
    )
    group.addoption(
        "--model-memory",
        dest="modelenv_model_memory",
        metavar="SIZE",
        help="memory limit for real models, such as 4G, or 50%% (default) of the machine's; the least recently used "
        "models are unloaded",
    )
    group.addoption(
        "--no-model-plan",
        dest="modelenv_no_model_plan",
        action="store_true",
        default=False,
        help="with --real-models, keep the collection order instead of grouping the tests by model",
    )
    group.addoption(
        "--model-guards",
        dest="modelenv_model_guards",
        metavar="MODE",
        help="error: a test without real models that reaches the Hub or loads real weights fails; report: it does "
        "not, and the summary counts the requests of each test; off: neither. By default the ini-option "
        "model_guards, else error if [tool.modelenv.models] in pyproject.toml declares models, else report",
    )
    group.addoption(
        "--no-model-guards",
        action="store_const",
        dest="modelenv_model_guards",
        const=GUARDS_OFF,
        help="the same as --model-guards=off",
    )
    group.addini(
        "forbid_heavy_imports",
        "importing torch or transformers in a run without --real-models is an error, outside of tests that are "
        "marked model_access",
        kind="bool",
        default=False,
    )
    group.addini("model_guards", "the same as --model-guards: report, error or off", default="")
    group.addini(
        "model_source",
        "the source of models of all tests, such as download_on_demand: they need no marker, and get real models "
        "without --real-models; --model-source and MODEL_SOURCE override it",
        default="",
    )
    group.addini("model_cache_dir", "folder of models that all workers share, relative to rootdir", default="")
    group.addini(
        "model_marker",
        "the marker of tests that need real models, `integration` by default; name another one if your `integration` "
        "tests need no models",
        default="",
    )


def gate_marker(config: pytest.Config) -> str:
    """Return the name of the marker of tests that need real models."""
    return str(ini_of(config, "model_marker") or "").strip() or INTEGRATION


def register_markers(config: pytest.Config) -> None:
    """Register the plugin's markers.

    Raises:
        pytest.UsageError: The ini-option `model_marker` is not a valid marker name, or is one of the other markers.
    """
    gate = gate_marker(config)
    if not gate.isidentifier() or gate in MARKERS:
        raise pytest.UsageError(
            f"ini-option model_marker: {gate!r} cannot be the marker of tests that need real models; use a marker of "
            f"your own, other than {', '.join(MARKERS)}"
        )
    for line in (gate + _GATE, *MARKERS.values()):
        config.addinivalue_line("markers", line)


def guards_mode(config: pytest.Config) -> str:
    """Return the mode of the guards: `report`, `error` or `off`.

    A worker of pytest-xdist has the mode of the controller, once it knows it. An invalid mode counts as none:
    `check_choices` reports it, once each conftest.py can have added an option of the same name.
    """
    if "MODELENV_ADOPTION" in os.environ:  # `modelenv adopt` records the requests itself
        return GUARDS_OFF
    of_run: dict[str, Any] = getattr(config, "workerinput", {})
    ini = str(ini_of(config, "model_guards") or "").strip()
    asked = (of_run.get(GUARDS_OF_RUN), option_of(config, "model_guards"), ini)
    chosen: str | None = next((mode for mode in asked if mode in _GUARDS), None)
    return chosen or (GUARDS_ERROR if _declares_models(config) else GUARDS_REPORT)


def check_choices(config: pytest.Config) -> None:
    """Check the options with a few valid values.

    The parser does not: while it parses for the first time, a conftest.py can still add an option of the same name.

    Raises:
        pytest.UsageError: The value of an option is invalid. That of the ini-option `model_guards` could belong to
            another program if the project declares no models: then it is a warning, as for an unknown option.
    """
    for name, choices in (("model_host", (HOST_OFF, HOST_RUN, HOST_KEEP)), ("model_guards", _GUARDS)):
        value = option_of(config, name)
        if value is not None and value not in choices:
            raise pytest.UsageError(
                f"--{name.replace('_', '-')}: {value!r} is not a mode; choose one of {', '.join(choices)}"
            )
    ini = str(ini_of(config, "model_guards") or "").strip()
    if not ini or ini in _GUARDS:
        return
    message = f"ini-option model_guards: {ini!r} is not a mode; choose one of {', '.join(_GUARDS)}"
    if _declares_models(config) or is_strict(config):
        raise pytest.UsageError(message)
    config.issue_config_time_warning(pytest.PytestConfigWarning(message), stacklevel=2)


def _declares_models(config: pytest.Config) -> bool:
    return bool((project_table(config) or {}).get("models"))


def asks_for_nothing(config: pytest.Config) -> bool:
    """Whether the user sets no option about models, so that nothing is resolved before a test uses one."""
    asked = option_of(config, "real_models") or any(
        option_of(config, name) is not None for name in ("model_source", "model_cache_dir")
    )
    variables = os.environ.get(SOURCE_VARIABLE) or os.environ.get(CACHE_VARIABLE)
    ini = ini_of(config, "model_cache_dir") or ini_of(config, "model_source")
    return not (asked or variables or ini or a_file_may_force(config))


def can_begin_early(config: pytest.Config) -> bool:
    """Whether tests can have real models, before each conftest.py is imported.

    An option `--model-source` or ini-option `model_source` that is not a source could be a conftest.py's own.
    """
    if str(option_of(config, "model_source") or SOURCES[0]).strip().lower() not in SOURCES:
        return False
    ini = str(ini_of(config, "model_source") or "").strip().lower()
    return ini in SOURCES if ini else bool(option_of(config, "real_models"))


def a_file_may_force(config: pytest.Config) -> bool:
    """Whether the project's `pyproject.toml` or `.env` could name a source.

    If not, `modelenv.Settings` is not needed, nor its import. A MODEL_SOURCE in `.env` that is not one of modelenv's
    sources could belong to another program. It is ignored unless the user asks for real models.
    """
    project, variables = project_texts(config)
    if "tool.modelenv" in project and "source" in project:
        return True
    return SOURCE_VARIABLE in variables and (option_of(config, "real_models") or _names_a_source(variables))


def forces_a_source(config: pytest.Config) -> bool:
    """Whether MODEL_SOURCE, or a file of the project, names one of modelenv's sources."""
    return _names_a_source(os.environ.get(SOURCE_VARIABLE, "")) or a_file_may_force(config)


def _names_a_source(text: str) -> bool:
    text = text.lower()
    return any(source in text for source in SOURCES)


def endpoint_of(config: pytest.Config) -> str | None:
    """Return the value of HF_ENDPOINT at the start of the run.

    Under pytest-xdist, it is the controller's: a conftest.py can set the variable before a worker starts.
    """
    of_run: dict[str, Any] = getattr(config, "workerinput", {})
    endpoint: str | None = of_run.get(ENDPOINT_OF_RUN, config.stash[ENDPOINT])
    return endpoint


def start_of(config: pytest.Config) -> float:
    """Return when the run started. Under pytest-xdist, it is when the controller started."""
    of_run: dict[str, Any] = getattr(config, "workerinput", {})
    started: float = of_run.get(START_OF_RUN, config.stash[STARTED])
    return started


def running_code(config: pytest.Config) -> tuple[str, str]:
    """Return what code of the project runs in this process, as its kind and its name."""
    item = config.stash.get(RUNNING, None)
    if item is not None:
        return TEST, item.nodeid
    collecting = config.stash.get(COLLECTING, None)
    return (COLLECTED, collecting) if collecting else (OTHER_CODE, "a conftest.py or a plugin")


def runs_tests(config: pytest.Config) -> bool:
    """Whether this run executes tests, instead of only showing something."""
    return not any(config.getoption(name, False) for name in _ONLY_SHOWN)


def hub_endpoint() -> str | None:
    """Return the current value of HF_ENDPOINT, or None if it is not set."""
    return os.environ.get("HF_ENDPOINT") or None
