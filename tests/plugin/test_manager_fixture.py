"""The fixture `model_manager`: one object per session that follows the test, in fixtures of every scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .projects import REAL, all_modes

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

FIXTURES = """
import pytest

class Service:
    def __init__(self, manager):
        self.manager = manager

    @property
    def classify(self):
        return self.manager.load_model("acme/sentiment", "text-classification")

@pytest.fixture(scope="session")
def of_session(model_manager):
    yield Service(model_manager)
    assert model_manager.environment

@pytest.fixture(scope="package")
def of_package(model_manager):
    return Service(model_manager)

@pytest.fixture(scope="module")
def of_module(of_session):
    return of_session

@pytest.fixture(scope="class")
def of_class(model_manager, of_module):
    assert of_module.manager is model_manager
    return Service(model_manager)
"""
TESTS = """
import os
import pytest
import modelenv
from modelenv import detect_environment

def is_new(fake):
    fake.assert_not_called()
    assert fake("crash")[0]["score"] != 0.9321
    fake.when("crash").returns("NEGATIVE", 0.9321)
    assert fake("crash")[0]["score"] == 0.9321

@pytest.mark.parametrize("number", [1, 2])
def test_session(of_session, number):
    is_new(of_session.classify)

@pytest.mark.parametrize("number", [1, 2])
def test_package(of_package, number):
    is_new(of_package.classify)

class TestClass:
    def test_one(self, of_class):
        is_new(of_class.classify)

    def test_two(self, of_class, of_module):
        is_new(of_class.classify)
        of_module.classify.assert_called()

    def test_asked_by_name(self, request):
        is_new(Service(request.getfixturevalue("model_manager")).classify)

    @pytest.mark.model("acme/sentiment", "text-classification")
    def test_model_asked_by_name(self, request):
        is_new(request.getfixturevalue("model"))

    @pytest.mark.model("acme/sentiment", "text-classification")
    def test_model(self, model, of_class):
        is_new(model)
        of_class.classify.assert_called()

    def test_asked_by_name_again(self, request, monkeypatch):
        monkeypatch.setenv("MODEL_TIMEOUT", "7")
        manager = request.getfixturevalue("model_manager")
        assert manager.settings.timeout == 7
        is_new(Service(manager).classify)

def test_settings_are_those_of_the_test(of_session, model_env, tmp_path):
    assert of_session.manager.settings.timeout is None
    model_env("local_cache", cache_dir=tmp_path, MODEL_TIMEOUT="3")
    assert of_session.manager.environment == "local_cache"
    assert of_session.manager.settings.cache_dir == tmp_path
    assert of_session.manager.settings.timeout == 3

@pytest.mark.model_source("persistent_volume")
def test_source(of_session):
    assert of_session.manager.environment == "persistent_volume"

@pytest.mark.integration
def test_integration(of_session, of_module):
    assert of_session.manager.environment == detect_environment() == "download_on_demand"

@pytest.mark.integration
def test_fakes_inside(of_session, mock_models):
    is_new(of_session.classify)

def test_natural(of_session):
    assert of_session.manager.environment == detect_environment() == "mock_models"
    is_new(of_session.classify)

class Service:
    def __init__(self, manager):
        self.classify = manager.load_model("acme/sentiment", "text-classification")
"""


@all_modes
def test_every_scope(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    project.makeconftest(FIXTURES)
    project.makepyfile(test_one=TESTS, test_two=TESTS)
    run_tests(*mode).assert_outcomes(passed=26, skipped=4)
    run_tests(*mode, *REAL).assert_outcomes(passed=30)


@all_modes
def test_scripts_of_a_session_fixture_apply_to_every_test(
    run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def classify(model_manager):
            classify = model_manager.load_model("acme/sentiment", "text-classification")
            classify.when("crash").returns("NEGATIVE", 0.75)
            return classify
        """
    )
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_scripted(classify, monkeypatch, tmp_path, number):
            if number % 2:
                monkeypatch.chdir(tmp_path)
            classify.assert_not_called()
            assert classify("crash") == [{"label": "NEGATIVE", "score": 0.75}]

        def test_asked_in_the_test(model_manager):
            fake = model_manager.load_model("acme/sentiment", "text-classification")
            fake.assert_not_called()
            assert fake("crash") == [{"label": "NEGATIVE", "score": 0.75}]
        """
    )
    run_tests(*mode).assert_outcomes(passed=5)


def test_a_rerun_test_starts_with_new_fakes(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):  # what pytest-rerunfailures does
            runtestprotocol(item, nextitem=nextitem, log=False)
            item._initrequest()
            runtestprotocol(item, nextitem=nextitem)
            return True
        """
    )
    project.makepyfile(
        """
        import pytest

        CALLS = []

        @pytest.mark.model("acme/sentiment", "text-classification")
        def test_one(model):
            model("crash")
            CALLS.append(model.call_count)
            assert CALLS == [1] * len(CALLS)

        def test_twice():
            assert CALLS == [1, 1]
        """
    )
    run_tests("-p", "no:randomly").assert_outcomes(passed=2)


def test_nothing_stays_forced_after_an_interrupt(run_tests: RunTests, project: pytest.Pytester) -> None:
    from modelenv.forcing import current_forcing

    before = current_forcing()
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def interrupted(model_manager):
            raise KeyboardInterrupt

        def test_one(interrupted): pass
        """
    )
    with pytest.raises(KeyboardInterrupt):  # pytester reraises it
        run_tests()
    assert current_forcing() is before
