"""The handles that `load_model` returns follow the current test. Whole test runs: tests/plugin/test_held.py."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from modelenv import (
    ModelFallbackWarning,
    ModelNotFoundError,
    Settings,
    SmartModelManager,
    UnexpectedModelAccessError,
    force_environment,
)
from modelenv.fakes import FakePipeline
from modelenv.forcing import current_scope, enter_scope
from modelenv.loading.shared import Run

NAME, TASK = "acme/market-sentiment", "text-classification"


class Scope:
    """The scope of a test, as the plugin passes it to the library."""

    def __init__(self, shared: Scope | None = None) -> None:
        self.shared = shared
        self.used_real_model = False


@pytest.fixture
def shared(mock_models: None) -> Iterator[Scope]:
    """The scope that all tests of a run share. It is current until the scope of a test is entered."""
    scope = Scope()
    before = enter_scope(scope)
    yield scope
    enter_scope(before)


def score(answer: Any) -> float:
    return float(answer[0]["score"])


def test_tools_that_inspect_all_objects_get_no_error(tmp_path: Path, shared: Scope) -> None:
    held = SmartModelManager().load_model(NAME, TASK)
    enter_scope(Scope())
    with force_environment("persistent_volume", variables={"MODEL_VOLUME_DIR": str(tmp_path)}):
        assert not isinstance(held, FakePipeline)
        with pytest.raises(ModelNotFoundError):
            held("the next call raises the error")


def test_each_test_has_its_own_fake(shared: Scope) -> None:
    held = SmartModelManager().load_model(NAME, TASK)
    held.when("shared").returns("NEGATIVE", 0.5)
    held("before the tests")
    for number in (1, 2):
        enter_scope(Scope(shared))
        held.when("own").returns("NEGATIVE", number / 10)
        assert (score(held("own")), score(held("shared"))) == (number / 10, 0.5)
        assert held.call_count == 2
        held.side_effect = RuntimeError("out of memory")
    enter_scope(Scope(shared))
    held.assert_not_called()
    assert score(held("own")) not in (0.1, 0.2)
    enter_scope(shared)
    held.assert_called_once_with("before the tests")


def test_an_answer_that_a_test_sets_is_not_shared_by_all_tests(shared: Scope) -> None:
    held = SmartModelManager().load_model(NAME, TASK)
    enter_scope(Scope(shared))
    held.when("own").returns("NEGATIVE", 0.25)
    assert score(held("own")) == 0.25
    enter_scope(shared)
    assert score(held("own")) != 0.25


def test_stored_methods_and_parts_follow_the_test_too(shared: Scope) -> None:
    model = SmartModelManager().load_model(NAME, TASK)
    when, predict, config = model.when, model.predict, model.model.config
    enter_scope(Scope(shared))
    when("own").returns("NEGATIVE", 0.25)
    assert score(predict("own")) == 0.25
    assert model.call_count == 1
    assert config.num_labels == len(config.id2label) == 2
    assert model.model.config is config
    assert (bool(model) and bool(config) and "num_labels" in config.to_dict()) or "id2label" in config.to_dict()


def test_a_handle_looks_like_its_pipeline(shared: Scope) -> None:
    manager = SmartModelManager()
    model = manager.load_model(NAME, TASK)
    assert manager.load_model(NAME, TASK) is model
    assert isinstance(model, FakePipeline)
    assert "when" in dir(model)
    assert repr(model).startswith("FakeTextClassification")
    assert callable(model)
    with pytest.raises(AttributeError, match="a fake pipeline has no 'save'"):
        model.save  # noqa: B018 - the lookup raises
    enter_scope(Scope(shared))
    assert repr(model).startswith(f"<pipeline of {NAME}, loaded at ")
    assert f"{Path(__file__).name}:" in repr(model)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_a_copy_has_its_own_answers_and_calls(shared: Scope, way: Callable[[Any], Any]) -> None:
    model = SmartModelManager().load_model(NAME, TASK)
    model.when("crash").returns("NEGATIVE", 0.25)
    copied = way(model)
    copied.when("own").returns("NEGATIVE", 0.125)
    assert (score(copied("crash")), score(copied("own"))) == (0.25, 0.125)
    assert score(model("own")) != 0.125
    assert (model.call_count, copied.call_count) == (1, 2)
    assert way(model.model.config).num_labels == 2


def test_the_pipeline_itself_is_returned_outside_of_a_test_run(clean_environ: dict[str, str], tmp_path: Path) -> None:
    code = f"""
from modelenv import SmartModelManager
from modelenv.fakes import FakePipeline
assert issubclass(type(SmartModelManager("mock_models").load_model({NAME!r}, {TASK!r})), FakePipeline)
"""
    subprocess.run([sys.executable, "-c", code], env=clean_environ, cwd=tmp_path, check=True, timeout=60)


def test_the_error_of_a_load_shows_where_the_pipeline_was_loaded(shared: Scope, tmp_path: Path) -> None:
    held = SmartModelManager().load_model("acme/missing", TASK)
    variables = {"MODEL_VOLUME_DIR": str(tmp_path)}
    with force_environment("persistent_volume", variables=variables), pytest.raises(ModelNotFoundError) as caught:
        held("x")
    [note] = caught.value.__notes__
    assert note.startswith("The pipeline that was used here was loaded at ")
    assert f"{Path(__file__).name}:" in note


def test_a_fake_that_was_changed_cannot_be_replaced(shared: Scope) -> None:
    manager = SmartModelManager()
    held, line = manager.load_model(NAME, TASK), inspect.currentframe().f_lineno  # type: ignore[union-attr]
    held.task = "sentiment-analysis"
    assert held("x")
    enter_scope(Scope(shared))
    with pytest.raises(UnexpectedModelAccessError) as caught:
        held("x")
    assert str(caught.value) == (
        f"{NAME}: the pipeline was changed after it was loaded (task was set or deleted), but another "
        f"pipeline without this change would be used here\n"
        f"  found: loaded at {os.path.relpath(__file__)}:{line}\n"
        f"  what to do: pass the setting to load_model, or load the model in the test or in a function-scoped fixture"
    )
    assert manager.load_model(NAME, TASK)("x")  # loaded again, without the change
    enter_scope(shared)
    assert held("x")


def test_setting_an_answer_is_not_a_change(shared: Scope) -> None:
    held = SmartModelManager().load_model(NAME, TASK)
    held.return_value = "set"
    enter_scope(Scope(shared))
    assert held("x") == "set"
    del shared


def ask(model: Any, text: str) -> tuple[str, float]:
    """Call the model. Runs in another process."""
    return type(model).__name__, score(model(text))


@pytest.mark.slow
def test_a_fake_in_another_process_has_the_same_answers(shared: Scope) -> None:
    model = SmartModelManager().load_model(NAME, TASK)
    model.when("crash").returns("NEGATIVE", 0.25)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(ask, model, "crash").result(120) == ("ModelHandle", 0.25)
    assert pickle.loads(pickle.dumps(model.model.config)).num_labels == 2


@pytest.fixture
def store(classifier: Path, tmp_path: Path) -> Path:
    """A local cache with one trained model."""
    import shutil

    shutil.copytree(classifier, tmp_path / "store" / NAME)
    return tmp_path / "store"


@pytest.mark.integration
def test_a_fake_from_an_import_is_the_real_model_if_that_is_forced(shared: Scope, store: Path) -> None:
    from transformers import TextClassificationPipeline

    manager = SmartModelManager()
    held, predict = manager.load_model(NAME, TASK), manager.load_model(NAME, TASK).predict
    variables, run = {"MODEL_CACHE_DIR": str(store), "MODEL_TIMEOUT": "200"}, Run()
    for _ in range(2):
        test = enter_scope(Scope(shared)) and current_scope()
        with force_environment("local_cache", variables=variables, run=run):
            assert held("bitcoin price surge")[0]["label"] == "POSITIVE"
            assert predict("bitcoin price crash")[0]["label"] == "NEGATIVE"
            assert isinstance(held, TextClassificationPipeline)
            assert test.used_real_model
            held.batch_size = 2  # this stays, because the next test has the same pipeline
    enter_scope(Scope(shared))
    with pytest.raises(UnexpectedModelAccessError, match="batch_size was set or deleted"):
        held("crash")


@pytest.mark.integration
def test_a_stored_real_model_is_a_fake_in_a_unit_test(shared: Scope, store: Path) -> None:
    manager = SmartModelManager()
    with force_environment("local_cache", variables={"MODEL_CACHE_DIR": str(store), "MODEL_TIMEOUT": "200"}):
        held = manager.load_model(NAME, TASK)
        copied = copy.copy(held)
        assert copied("bitcoin price surge")[0]["label"] == "POSITIVE"
    for each in (held, copied):
        each.when("crash").returns("NEGATIVE", 0.25)
        assert score(each("crash")) == 0.25


@pytest.mark.integration
def test_a_handle_in_another_process_loads_the_real_model_if_that_is_forced(
    shared: Scope, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = SmartModelManager().load_model(NAME, TASK)
    variables = {"MODEL_CACHE_DIR": str(store), "MODEL_TIMEOUT": "200"}
    with (
        force_environment("local_cache", variables=variables),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        kind, found = pool.submit(ask, held, "bitcoin price surge").result(200)
    assert kind == "ModelHandle"
    assert found > 0.8


def test_a_failed_load_with_a_fallback_is_not_repeated_in_each_test(shared: Scope, tmp_path: Path) -> None:
    with force_environment(variables={"HF_HUB_OFFLINE": "1"}):
        manager = SmartModelManager("local_cache", settings=Settings.load(cache_dir=tmp_path), fallback="mock")
        with pytest.warns(ModelFallbackWarning, match="a fake is used"):
            held = manager.load_model(NAME, TASK)
        for _ in range(2):
            enter_scope(Scope(shared))
            held("x")
            held.assert_called_once_with("x")
