"""The plugin's fixtures. Their docstrings are their documentation, shown by `pytest --fixtures`.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.access import models_of
from pytest_modelenv.startup import CACHE_VARIABLE, NEEDS_REAL_MODELS, RUNNING

if TYPE_CHECKING:
    from modelenv import SmartModelManager
    from modelenv.environment.sources import ModelSource
    from modelenv.hub import EmbeddedHub
    from pytest_modelenv.fixture_types import ForceEnvironment, MakeTinyModel

BUILDING_SECONDS = 120  # building a tiny model takes a few seconds, plus the import of torch


def fixtures_of(config: pytest.Config) -> ModuleType:
    """Return the fixtures as a pytest plugin, without those whose names other plugins use for fixtures of their own.

    The project's own fixtures override these, wherever the project defines them: in a test file, in a conftest.py, or
    in a module that it names as a plugin. For the latter, pytest uses the fixture that was registered last. So this
    plugin must be registered before the first conftest.py is imported.
    """
    plugin = ModuleType(__name__)
    ours = {**_fixtures_with(config), **{each.__name__: each for each in _FIXTURES}}
    taken = _fixtures_of_others(config)
    vars(plugin).update({name: fixture for name, fixture in ours.items() if name not in taken})
    return plugin


def _fixtures_of_others(config: pytest.Config) -> set[str]:
    """Return the names of the fixtures of plugins that are already registered, except pytest's own."""
    names = set()
    for plugin in config.pluginmanager.get_plugins():
        if str(getattr(plugin, "__name__", "")).startswith("_pytest."):
            continue
        for attribute, value in getattr(plugin, "__dict__", {}).items():
            has = getattr(value, "__dict__", {})
            marker = has.get("_fixture_function_marker") or has.get("_pytestfixturefunction")  # pytest 8.4, before
            if marker is not None:
                names.add(getattr(marker, "name", None) or attribute)
    return names


def _fixtures_with(config: pytest.Config) -> dict[str, Any]:
    """Return the fixtures that most tests of models use.

    They take the configuration from this function's argument. To request `pytestconfig` or `request`, as the other
    fixtures do, takes pytest about as long as to create a fake.
    """

    @pytest.fixture(scope="session")
    def model_manager() -> SmartModelManager:
        """A `SmartModelManager` that follows the running test: each call returns models for the test's environment.

        Fixtures of every scope can use it. Real models are loaded once per worker, however many tests use them. Fakes
        are new in each test: they have no recorded calls, and only the scripts that a fixture of wider scope has set.
        """
        return models_of(config).manager

    @pytest.fixture
    def model(model_manager: SmartModelManager) -> Any:
        """The pipeline of the test's marker `@pytest.mark.model(name, task=..., **pipeline_kwargs)`.

        It is a fake, except in a test marked `integration` under `--real-models`: there it is the real model, and the
        test fails if the model cannot be loaded. If the marker names no task, the task comes from the project's lock
        or, for a real model, from the Hub.
        """
        from pytest_modelenv.markers import model_call

        test = config.stash[RUNNING]
        assert test is not None  # noqa: S101 - only a test requests this fixture
        call = model_call(test)
        task = call.task or models_of(config).hub_tasks.task_of(call, model_manager)
        return model_manager.load_model(call.name, task, **call.pipeline_kwargs)

    return {"model_manager": model_manager, "model": model}


@pytest.fixture
def mock_models(pytestconfig: pytest.Config) -> Iterator[None]:
    """Force fakes for this test, even if it is marked `integration`. No other test has used these fakes."""
    with models_of(pytestconfig).forcing("mock_models"):
        yield


@pytest.fixture
def real_models(pytestconfig: pytest.Config) -> Iterator[None]:
    """Force real models from the source in `--model-source` for this test. Skip it without `--real-models`."""
    session = models_of(pytestconfig)
    if not session.options.real_models:
        pytest.skip(NEEDS_REAL_MODELS)
    source = session.options.source.value
    with session.forcing(source, installation=session.installation(source, pytestconfig.stash[RUNNING])):
        session.locked.prepare()
        yield


@pytest.fixture
def model_env(pytestconfig: pytest.Config) -> Iterator[ForceEnvironment]:
    """A function that forces an environment until the test ends. It can be called several times.

    `model_env("local_cache", cache_dir=tmp_path)` forces a source and MODEL_CACHE_DIR. `volume_dir=` sets
    MODEL_VOLUME_DIR. Other keywords set variables, and None removes one: `model_env(MODEL_TIMEOUT="2")`. The Hugging
    Face libraries use the new values too. A test that sets a folder or a variable does not share its models with
    other tests, and its failed downloads do not affect them.
    """
    session = models_of(pytestconfig)
    with ExitStack() as undo:

        def force(
            source: ModelSource | str | None = None,
            *,
            cache_dir: str | os.PathLike[str] | None = None,
            volume_dir: str | os.PathLike[str] | None = None,
            **variables: str | None,
        ) -> None:
            if source is not None:
                undo.enter_context(session.forcing(source))
            folders = {CACHE_VARIABLE: cache_dir, "MODEL_VOLUME_DIR": volume_dir}
            own = {name: os.fspath(folder) for name, folder in folders.items() if folder is not None}
            if own or variables:
                undo.enter_context(session.apart({**own, **variables}))

        yield force


@pytest.fixture(scope="session")
def tiny_model(pytestconfig: pytest.Config) -> MakeTinyModel:
    """A function that returns the folder of a small real model for a task, with random weights of less than 1 MB.

    `transformers.pipeline("text-classification", model=tiny_model("text-classification"))` runs the real code in any
    test, without a download. Its predictions are meaningless. `seed=1` gives other weights. Each model is built once
    for all workers, in a few seconds, with torch and transformers, and deleted when the run ends. Copy the folder
    before you change it.
    """
    folder = models_of(pytestconfig).tiny_models

    def make(task: str, *, seed: int = 0) -> Path:
        from filelock import FileLock

        from modelenv.tasks import resolve_task
        from modelenv.testing import tiny_model as build

        name = f"{resolve_task(task).name}-{seed}"
        with FileLock(folder.with_name(f"{name}.lock"), timeout=BUILDING_SECONDS):
            return build(task, folder / name, seed=seed)

    return make


@pytest.fixture(scope="session")
def model_cache_dir(pytestconfig: pytest.Config) -> Path:
    """The models folder of all workers: `--model-cache-dir`, MODEL_CACHE_DIR, or a folder in pytest's cache."""
    return models_of(pytestconfig).folders.cache.value


@pytest.fixture(scope="session")
def model_hub_server() -> Iterator[EmbeddedHub]:
    """The embedded Hub behind each test's `model_hub`. It starts empty, with the first test that needs it.

    `model_hub_server.add(folder, "org/name")` in a session-scoped fixture serves a model to all tests and hashes it
    only once.
    """
    from modelenv.hub import EmbeddedHub

    with EmbeddedHub() as hub:
        yield hub


@pytest.fixture
def model_hub(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, model_hub_server: EmbeddedHub
) -> Iterator[EmbeddedHub]:
    """An empty embedded Hub on loopback. The Hugging Face libraries use it as their endpoint in this test.

    `model_hub.add(folder, "org/name")` serves a model. `requests`, `clear()` and `assert_no_requests()` inspect the
    requests. Each test has its own Hub and address. Downloads go to folders of the test, never to a cache that
    outlives it. Requires `pip install 'modelenv[hub]'`.
    """
    downloads = tmp_path_factory.mktemp("model_hub")
    with model_hub_server.view() as hub:
        variables = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_OFFLINE": None,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",  # the embedded Hub serves plain HTTP
            "HF_HUB_CACHE": str(downloads / "huggingface_hub"),
            CACHE_VARIABLE: str(downloads / "models"),
        }
        with models_of(pytestconfig).apart(variables):
            yield hub


_FIXTURES: tuple[Any, ...] = (
    mock_models,
    model_cache_dir,
    model_env,
    model_hub,
    model_hub_server,
    real_models,
    tiny_model,
)
