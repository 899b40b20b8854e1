"""The manager that all tests of a run share reads its settings in each test, and keeps its models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError
from modelenv.forcing import Scope, enter_scope, force_environment
from modelenv.loading.cache import PipelineKey
from modelenv.loading.shared import Run
from modelenv.references import ModelRef
from modelenv.shared_manager import SharedManager


class Test:
    """The scope of a test, as the plugin passes it to the library."""

    __test__ = False
    shared: Scope | None = None
    used_real_model = False


@pytest.fixture(autouse=True)
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = enter_scope(Test())
    yield
    enter_scope(before)


def test_settings_that_have_changed_are_read_in_the_next_test(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SharedManager(Run())
    assert manager.settings.timeout is None
    monkeypatch.setenv("MODEL_TIMEOUT", "7")
    assert manager.settings.timeout is None  # they are read once per test
    enter_scope(Test())
    assert manager.settings.timeout == 7
    enter_scope(Test())
    monkeypatch.delenv("MODEL_TIMEOUT")
    assert manager.settings.timeout is None


def test_an_invalid_setting_is_an_error_until_it_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SharedManager(Run())
    monkeypatch.setenv("MODEL_TIMEOUT", "soon")
    for _ in range(2):
        enter_scope(Test())
        with pytest.raises(ConfigurationError, match="timeout"):
            _ = manager.settings
    monkeypatch.delenv("MODEL_TIMEOUT")
    enter_scope(Test())
    assert manager.settings.timeout is None


def test_each_test_has_its_own_fakes() -> None:
    manager = SharedManager(Run())
    calls = []
    for _ in range(2):
        enter_scope(Test())
        fake = manager.load_model("acme/model", "sentiment")
        fake("text")
        calls.append(fake.call_count)
    assert calls == [1, 1]


def test_answers_that_all_tests_share_stay_when_settings_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    manager, everywhere = SharedManager(Run()), Test()
    enter_scope(everywhere)
    manager.load_model("acme/model", "text-classification").when("crash").returns("NEGATIVE", 0.75)
    for timeout in ("7", "8"):
        monkeypatch.setenv("MODEL_TIMEOUT", timeout)
        test = Test()
        test.shared = everywhere
        enter_scope(test)
        fake = manager.load_model("acme/model", "text-classification")
        assert fake("crash") == [{"label": "NEGATIVE", "score": 0.75}]
        assert manager.settings.timeout == float(timeout)


def test_unload_keeps_pipelines_that_other_managers_of_the_run_use() -> None:
    run = Run()
    state = SharedManager(run)._state()
    key = PipelineKey.of(ModelRef.parse("acme/model"), "fill-mask", "local_cache", "", {})
    run.pipelines.get(key, lambda _: "a pipeline", Deadline(60))
    state.used.add(key)
    assert state.unload("acme/model") == 1
    assert key in run.pipelines.loads()


def test_a_forced_environment_has_its_own_settings_and_run() -> None:
    run, other = Run(), Run()
    manager = SharedManager(run)
    assert manager._state().run is run
    with force_environment("local_cache", variables={"MODEL_TIMEOUT": "3"}, run=other):
        assert (manager.environment, manager.settings.timeout, manager._state().run) == ("local_cache", 3, other)
    with force_environment("mock_models"):
        assert manager._state().run is run
    assert (manager.environment, manager.settings.timeout) == ("mock_models", None)
