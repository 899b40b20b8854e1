"""Fast tests of the manager. Real loads: tests/loading/test_real_loads.py."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import modelenv
from modelenv import (
    ConfigurationError,
    ModelFallbackWarning,
    ModelNotFoundError,
    ModelSource,
    Settings,
    SmartModelManager,
    UnsafeModelError,
    force_environment,
)
from modelenv.loading.request import resolve_request

PROJECT = """
[tool.modelenv.models]
mood = { repo = "acme/sentiment", task = "sentiment", revision = "v1" }
plain = "acme/plain"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with two aliases, as the working folder, without variables of the environment."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_SOURCE", "MODEL_CACHE_DIR", "MODEL_VOLUME_DIR", "MODEL_TIMEOUT", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_manager_returns_fakes_in_a_test(project: Path) -> None:
    manager = SmartModelManager()
    assert manager.environment is ModelSource.MOCK_MODELS
    assert "a running test" in manager.explain().reason
    assert repr(manager) == "<SmartModelManager mock_models>"
    answer = manager.load_model("ProsusAI/finbert", "sentiment")("Bitcoin price surge")
    assert [sorted(row) for row in answer[0]] == [["label", "score"]] * 3


def test_there_is_one_fake_per_key(project: Path) -> None:
    manager = SmartModelManager()
    fake = manager.load_model("acme/model", "sentiment")
    assert manager.load_model("acme/model", "sentiment") is fake
    assert asyncio.run(manager.aload_model("acme/model", "sentiment")) is fake
    assert manager.load_model("acme/model", "text-classification") is not fake
    with ThreadPoolExecutor(8) as pool:
        fakes = {id(pool.submit(manager.load_model, "acme/other", "sentiment").result()) for _ in range(32)}
    assert len(fakes) == 1
    assert SmartModelManager().load_model("acme/model", "sentiment") is not fake


def test_an_alias_defines_repo_revision_and_task(project: Path) -> None:
    settings = Settings.load()

    def resolve(name: str, task: str | None = None, **options: Any) -> Any:
        return resolve_request(settings, ModelSource.LOCAL_CACHE, name, task, **{"arguments": {}, **options})

    mood = resolve("mood")
    assert (str(mood.ref), mood.task, dict(mood.arguments)) == (
        "acme/sentiment@v1", "text-classification", {"top_k": None},
    )  # fmt: skip
    assert str(resolve("mood", revision="v2").ref) == "acme/sentiment@v2"
    assert resolve("mood", arguments={"top_k": 2}).arguments == {"top_k": 2}
    assert resolve("mood", arguments={"device": 0}).device == "0"
    assert resolve("plain", "fill-mask").task == "fill-mask"
    with pytest.raises(ConfigurationError) as caught:
        resolve("plain")
    assert str(caught.value) == (
        "plain: no task was given for the model\n"
        "  expected: a task in the call, or in the declaration of the model in [tool.modelenv.models]\n"
        "  what to do: pass the task, such as task='text-classification' in a marker, or load_model(name, task)"
    )


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("../etc", "sentiment", "must not point outside of its folder"),
        ("", "sentiment", "must not be empty"),
        ("acme/model", "sentimnet", "unknown task 'sentimnet'"),
        ("acme/model", "summarization", "transformers 5 removed the task 'summarization'"),
    ],
)
def test_mistakes_are_errors_even_with_fakes(project: Path, name: str, task: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SmartModelManager(fallback="mock").load_model(name, task)


def test_invalid_arguments_are_configuration_errors(project: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown model source"):
        SmartModelManager("cloud")
    with pytest.raises(ConfigurationError, match="unknown fallback"):
        SmartModelManager(fallback="fake")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="positive number of seconds"):
        SmartModelManager("local_cache").load_model("acme/model", "sentiment", timeout=0)
    with pytest.raises(ConfigurationError, match="positive number of seconds"):
        SmartModelManager().load_model("acme/model", "sentiment", timeout=-1)
    with pytest.raises(ConfigurationError, match="a task must be text"):
        SmartModelManager().load_model("acme/model", 5)  # type: ignore[arg-type]


def test_a_volume_never_runs_remote_code_and_never_falls_back(project: Path) -> None:
    manager = SmartModelManager("persistent_volume", settings=Settings.load(volume_dir=project), fallback="mock")
    with pytest.raises(UnsafeModelError, match="remote code is never run from a persistent volume"):
        manager.load_model("acme/model", "sentiment", trust_remote_code=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelNotFoundError):
            manager.load_model("acme/model", "sentiment")


def offline_manager(project: Path) -> SmartModelManager:
    return SmartModelManager("local_cache", settings=Settings.load(cache_dir=project / "cache"), fallback="mock")


def test_the_fallback_is_a_fake_with_a_warning(project: Path) -> None:
    with force_environment(variables={"HF_HUB_OFFLINE": "1"}):
        manager = offline_manager(project)
        with pytest.warns(ModelFallbackWarning, match="a fake is used, because the real model") as caught:
            fake = manager.load_model("acme/model", "sentiment")
        assert caught[0].filename == __file__
        assert "offline mode is on, so it was not downloaded" in str(caught[0].message)
        with pytest.warns(ModelFallbackWarning):
            assert asyncio.run(manager.aload_model("acme/model", "sentiment")) is fake
        assert fake("x")[0]["score"] if isinstance(fake("x")[0], dict) else fake("x")[0][0]["score"]


def test_there_is_no_fallback_if_real_models_are_required(project: Path) -> None:
    with force_environment("local_cache", variables={"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelNotFoundError):
        offline_manager(project).load_model("acme/model", "sentiment")


def test_status_and_unload(project: Path) -> None:
    with SmartModelManager() as manager:
        assert manager.status().models == ()
        fake = manager.load_model("mood")
        manager.load_model("acme/other", "sentiment")
        status = manager.status()
        assert status.ready
        assert json.loads(json.dumps(status.as_dict())) == {
            "environment": "mock_models",
            "reason": status.reason,
            "root": None,
            "models": [
                {"repo_id": "acme/sentiment", "revision": "v1", "task": "sentiment",
                 "state": "ready", "stage": "a fake"},
                {"repo_id": "acme/other", "revision": None, "task": "sentiment",
                 "state": "ready", "stage": "a fake"},
            ],
            "ready": True,
        }  # fmt: skip
        assert manager.unload("mood") == 1
        assert manager.load_model("mood") is not fake
        assert manager.unload("acme/unknown") == 0
    assert manager.status().models == ()


def test_managers_follow_a_forced_environment_and_return(project: Path) -> None:
    manager = SmartModelManager()
    fake = manager.load_model("acme/model", "sentiment")
    before = dict(os.environ)
    with force_environment("local_cache", variables={"MODEL_CACHE_DIR": str(project / "forced")}):
        assert manager.environment is ModelSource.LOCAL_CACHE
        assert manager.status().root == str(project / "forced")
        assert modelenv.model_manager.environment is ModelSource.LOCAL_CACHE
        with force_environment("mock_models"):
            assert manager.environment is ModelSource.MOCK_MODELS
            assert os.environ["HF_HUB_OFFLINE"] == "1"
            assert manager.load_model("acme/model", "sentiment") is not fake
        assert manager.environment is ModelSource.LOCAL_CACHE
    assert dict(os.environ) == before
    assert manager.environment is ModelSource.MOCK_MODELS
    assert modelenv.model_manager.environment is ModelSource.MOCK_MODELS
    assert manager.load_model("acme/model", "sentiment") is fake


def test_settings_are_read_again_in_a_forced_environment_except_for_arguments(project: Path, tmp_path: Path) -> None:
    made_at_import = SmartModelManager(settings=Settings.load(timeout=7))
    of_arguments = SmartModelManager(settings=Settings.load(source="mock_models"))
    of_another_process = SmartModelManager(settings=Settings.load(environ={"MODEL_SOURCE": "huggingface_hub"}))
    with force_environment("local_cache", variables={"MODEL_CACHE_DIR": str(tmp_path / "forced")}):
        assert made_at_import.environment is ModelSource.LOCAL_CACHE
        assert made_at_import.settings.cache_dir == tmp_path / "forced"
        assert made_at_import.settings.timeout == 7
        assert of_arguments.environment is ModelSource.MOCK_MODELS
        assert of_another_process.environment is ModelSource.HUGGINGFACE_HUB
    assert made_at_import.environment is ModelSource.MOCK_MODELS


def test_forcing_an_unknown_source_changes_nothing(project: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(ConfigurationError, match="unknown model source"), force_environment("cloud"):
        pytest.fail("the block was entered")
    assert dict(os.environ) == before
