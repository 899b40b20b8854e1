"""The manager that all tests of a run share: its settings are those of the test, and it keeps what it can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelenv.errors import ConfigurationError
from modelenv.forcing import Scope, enter_scope, force_environment
from modelenv.loading.shared import Run
from modelenv.shared_manager import SharedManager


class Test:
    """What the plugin tells the library of a test."""

    __test__ = False
    shared: Scope | None = None
    used_real_model = False


@pytest.fixture(autouse=True)
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = enter_scope(Test())
    yield
    enter_scope(before)


def test_settings_that_a_test_changed_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SharedManager(Run())
    settings = manager.settings
    enter_scope(Test())
    assert manager.settings is settings  # nothing has changed
    enter_scope(Test())
    monkeypatch.setenv("MODEL_TIMEOUT", "7")
    assert manager.settings.timeout == 7
    enter_scope(Test())
    monkeypatch.delenv("MODEL_TIMEOUT")
    assert manager.settings.timeout is None


def test_a_setting_that_is_wrong_is_an_error_until_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SharedManager(Run())
    monkeypatch.setenv("MODEL_TIMEOUT", "soon")
    for _ in range(2):
        enter_scope(Test())
        with pytest.raises(ConfigurationError, match="timeout"):
            _ = manager.settings
    monkeypatch.delenv("MODEL_TIMEOUT")
    enter_scope(Test())
    assert manager.settings.timeout is None


def test_each_test_has_fakes_of_its_own() -> None:
    manager = SharedManager(Run())
    calls = []
    for _ in range(2):
        enter_scope(Test())
        fake = manager.load_model("acme/model", "sentiment")
        fake("text")
        calls.append(fake.call_count)
    assert calls == [1, 1]


def test_a_forced_environment_has_its_own_settings_and_run() -> None:
    run, other = Run(), Run()
    manager = SharedManager(run)
    assert manager._state().run is run
    with force_environment("local_cache", variables={"MODEL_TIMEOUT": "3"}, run=other):
        assert (manager.environment, manager.settings.timeout, manager._state().run) == ("local_cache", 3, other)
    with force_environment("mock_models"):
        assert manager._state().run is run
    assert (manager.environment, manager.settings.timeout) == ("mock_models", None)
