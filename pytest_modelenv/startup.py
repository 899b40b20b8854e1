"""What every test run pays for, whether it uses models or not: constants, options and markers.

Nothing is made here that such a run does not need, and no other module of ours is imported.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
"""

from __future__ import annotations

import os

import pytest

HOST_OFF, HOST_RUN, HOST_KEEP = "off", "run", "keep"
# The values of `modelenv.environment.sources.ModelSource`.
SOURCES = ("persistent_volume", "mock_models", "download_on_demand", "local_cache", "huggingface_hub")
GUARDS_ERROR, GUARDS_OFF = "error", "off"
SOURCE_VARIABLE = "MODEL_SOURCE"
CACHE_VARIABLE = "MODEL_CACHE_DIR"
NEEDS_REAL_MODELS = "needs --real-models"
FAKES = "modelenv: fakes; real models with --real-models"  # the header of a run that asks for nothing

ENDPOINT_OF_RUN = "modelenv_endpoint"  # the keys under which a worker of pytest-xdist is told them
START_OF_RUN = "modelenv_started"

_ONLY_SHOWN = (
    "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "collectonly", "setupplan", "cacheshow",
)  # fmt: skip

# The test that runs in this process, and the file or folder that is being collected.
RUNNING: pytest.StashKey[pytest.Item | None] = pytest.StashKey()
COLLECTING: pytest.StashKey[str | None] = pytest.StashKey()
# The HF_ENDPOINT with which the run started, None without one: a conftest.py may set another later.
ENDPOINT: pytest.StashKey[str | None] = pytest.StashKey()
# When the run started, in seconds since the epoch; under pytest-xdist when the controller did.
STARTED: pytest.StashKey[float] = pytest.StashKey()
# The texts of the project's `pyproject.toml` and `.env`.
PROJECT_TEXTS: pytest.StashKey[tuple[str, str]] = pytest.StashKey()
# The value of the source that is forced while a test runs, for those tests that have one.
FORCED_SOURCE: pytest.StashKey[str] = pytest.StashKey()

INTEGRATION = "integration"  # the gate, unless the ini-option model_marker names another marker
# With their signatures: `markers` has a function of each name, which checks the arguments.
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
        "model_cache_dir, else MODEL_CACHE_DIR in .env, else cache_dir in [tool.modelenv], else a folder in "
        "pytest's cache",
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
        "--model-guards",
        metavar="MODE",
        choices=(GUARDS_ERROR, GUARDS_OFF),
        help="error (default): a test without real models that reaches the Hub or loads real weights fails; off: it "
        "does not",
    )
    group.addoption(
        "--no-model-guards",
        action="store_const",
        dest="model_guards",
        const=GUARDS_OFF,
        help="the same as --model-guards=off",
    )
    parser.addini(
        "forbid_heavy_imports",
        "importing torch or transformers in a run without --real-models is an error, outside of tests that are "
        "marked model_access",
        type="bool",
        default=False,
    )
    parser.addini("model_cache_dir", "folder of models that all workers share, relative to rootdir", default="")
    parser.addini(
        "model_marker",
        "the marker of tests that need real models, `integration` by default; name another one if your `integration` "
        "tests need no models",
        default="",
    )


def gate_marker(config: pytest.Config) -> str:
    """Return the name of the marker of tests that need real models."""
    return str(config.getini("model_marker")).strip() or INTEGRATION


def register_markers(config: pytest.Config) -> None:
    """Register the plugin's markers.

    Raises:
        pytest.UsageError: the ini-option `model_marker` names no marker, or one that has another meaning here.
    """
    gate = gate_marker(config)
    if not gate.isidentifier() or gate in MARKERS:
        raise pytest.UsageError(
            f"ini-option model_marker: {gate!r} cannot name the tests that need real models; valid is any marker of "
            f"your own, but not {', '.join(MARKERS)}"
        )
    for line in (gate + _GATE, *MARKERS.values()):
        config.addinivalue_line("markers", line)


def asks_for_nothing(config: pytest.Config) -> bool:
    """Whether the user says nothing of models, so that there is nothing to resolve before a test asks for one."""
    option = config.option
    asked = option.real_models or option.model_source is not None or option.model_cache_dir is not None
    variables = os.environ.get(SOURCE_VARIABLE) or os.environ.get(CACHE_VARIABLE)
    return not (asked or variables or config.getini("model_cache_dir") or a_file_may_force(config))


def a_file_may_force(config: pytest.Config) -> bool:
    """Whether the project's `pyproject.toml` or `.env` may name a source.

    Only a project in which they may is read by `modelenv.Settings`, which has to be imported first. A MODEL_SOURCE in
    `.env` that is none of ours may be another program's, and is left alone unless real models were asked for.
    """
    project, variables = project_texts(config)
    if "tool.modelenv" in project and "source" in project:
        return True
    return SOURCE_VARIABLE in variables and (config.option.real_models or _names_a_source(variables))


def forces_a_source(config: pytest.Config) -> bool:
    """Whether MODEL_SOURCE, or a file of the project, names one of modelenv's sources."""
    return _names_a_source(os.environ.get(SOURCE_VARIABLE, "")) or a_file_may_force(config)


def _names_a_source(text: str) -> bool:
    text = text.lower()
    return any(source in text for source in SOURCES)


def project_texts(config: pytest.Config) -> tuple[str, str]:
    """Return the texts of the project's `pyproject.toml` and `.env`, read once; empty for a file that is missing.

    They are found as `modelenv.Settings` finds them: the nearest project's file, and `.env` beside it.
    """
    if PROJECT_TEXTS not in config.stash:
        config.stash[PROJECT_TEXTS] = _project_texts()
    return config.stash[PROJECT_TEXTS]


def _project_texts() -> tuple[str, str]:
    start = os.path.realpath(".")
    folders = [start]
    while (parent := os.path.dirname(folders[-1])) != folders[-1]:  # noqa: PTH120 - without another import
        folders.append(parent)
    project = next((each for each in folders if os.path.isfile(f"{each}/pyproject.toml")), None)  # noqa: PTH113
    return "" if project is None else _text(f"{project}/pyproject.toml"), _text(f"{project or start}/.env")


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
