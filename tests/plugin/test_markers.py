"""Markers: the environment of the marked test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .projects import all_modes, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

# Each test checks its own environment.
ENVIRONMENTS = '''
import unittest
import pytest
from modelenv import SmartModelManager, detect_environment

MANAGER = SmartModelManager()  # as in a service, created at import

def check(source):
    assert detect_environment() == MANAGER.environment == source

def test_unmarked():
    check("mock_models")

@pytest.mark.integration
def test_integration():
    check("download_on_demand")

@pytest.mark.integration
@pytest.mark.model_source("persistent_volume")
def test_integration_with_a_source():
    check("persistent_volume")

@pytest.mark.integration
def test_integration_with_fakes(mock_models):
    check("mock_models")

@pytest.mark.model_source("local_cache")
def test_source():
    check("local_cache")

@pytest.mark.model_source("mock_models")
def test_fakes():
    check("mock_models")

@pytest.mark.model_source("huggingface_hub")
class TestClosestMarker:
    def test_of_class(self):
        check("huggingface_hub")

    @pytest.mark.model_source("local_cache")
    def test_of_function(self):
        check("local_cache")

@pytest.mark.parametrize("source", [
    "mock_models",
    pytest.param("download_on_demand", marks=pytest.mark.integration),
    pytest.param("local_cache", marks=pytest.mark.model_source("local_cache")),
])
def test_parameters(source):
    check(source)

class TestUnittest(unittest.TestCase):
    def setUp(self):
        self.before = detect_environment()

    def test_unmarked(self):
        self.assertEqual(self.before, "mock_models")

    @pytest.mark.model_source("local_cache")
    def test_source(self):
        self.assertEqual(self.before, "local_cache")

    @pytest.mark.integration
    def test_integration(self):
        self.assertEqual(self.before, "download_on_demand")

def documented():
    """
    >>> detect_environment().value
    'mock_models'
    """
'''


# Fixtures of every scope see the test's source during setup and teardown.
SCOPES = """
import pytest
from modelenv import detect_environment

def setup_module():
    assert detect_environment() == "SOURCE"

def teardown_module():
    assert detect_environment() == "SOURCE"

@pytest.fixture(scope="module")
def of_module():
    assert detect_environment() == "SOURCE"
    yield
    assert detect_environment() == "SOURCE"

@pytest.fixture(autouse=True)
def of_test(of_module):
    assert detect_environment() == "SOURCE"
    yield
    assert detect_environment() == "SOURCE"

@pytest.mark.MARKER
def test_scopes():
    assert detect_environment() == "SOURCE"
"""


@all_modes
@pytest.mark.slow
def test_each_test_gets_its_environment(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    integration = SCOPES.replace("MARKER", "integration").replace("SOURCE", "download_on_demand")
    unmarked = SCOPES.replace("@pytest.mark.MARKER", "").replace("SOURCE", "mock_models")
    project.makepyfile(test_all=ENVIRONMENTS, test_scopes_integration=integration, test_scopes_unmarked=unmarked)
    result = run_tests(*mode, "--real-models", "--model-host=off", "--doctest-modules")
    result.assert_outcomes(passed=17)
    result = run_tests(*mode, "--doctest-modules")
    result.assert_outcomes(passed=11, skipped=6)
    result.stdout.fnmatch_lines(["SKIPPED * needs --real-models"])


def test_markers_are_listed_with_their_signatures(run_tests: RunTests) -> None:
    run_tests("--markers").stdout.fnmatch_lines_random(
        [
            "@pytest.mark.integration(host=True): needs real models; skipped without --real-models; *",
            "@pytest.mark.model_access: this test may reach the Hub and load real weights, in every run",
            "@pytest.mark.model(name, task=None, [*][*]pipeline_kwargs): the model this test uses; *",
            "@pytest.mark.model_source(source): force this model source for the test, with all its fixtures",
        ]
    )


# The outermost hook of a test compares the state of the process before and after the test.
UNDONE_CONFTEST = """
import os
import pytest
import huggingface_hub.constants
from huggingface_hub import HfApi, hf_api, snapshot_download
from modelenv import model_manager
from modelenv.forcing import current_forcing

def state():
    constants = {name: value for name, value in vars(huggingface_hub.constants).items() if name.isupper()}
    ours = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return ours, constants, hf_api.api.endpoint, current_forcing(), model_manager.environment

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    before = state()
    result = yield
    assert state() == before
    return result

def pytest_sessionfinish(session):
    print("\\nall undone")
"""
UNDONE = """
import os
import pytest
import huggingface_hub.constants

pytestmark = pytest.mark.integration

def offline():
    return huggingface_hub.constants.is_offline_mode()

@pytest.fixture
def fails_in_setup(model_env):
    model_env("persistent_volume", HF_ENDPOINT="http://127.0.0.1:9")
    raise RuntimeError("setup")

@pytest.fixture
def fails_in_teardown(mock_models, model_env):
    model_env(HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=None, MODEL_TIMEOUT="3")
    yield
    assert huggingface_hub.constants.ENDPOINT == "http://127.0.0.1:9"
    raise RuntimeError("teardown")

def test_setup(fails_in_setup):
    pass

def test_call(model_env):
    assert not offline()
    model_env("mock_models")
    assert offline()
    raise RuntimeError("call")

def test_teardown(fails_in_teardown):
    assert offline()

def test_good(model_env, mock_models):
    assert offline()

@pytest.mark.model_source("persistent_volume")
def test_source():
    assert offline()
"""


@without_and_n2
@pytest.mark.slow
def test_everything_is_undone_however_a_test_ends(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makeconftest(UNDONE_CONFTEST)
    project.makepyfile(UNDONE)
    result = run_program(*mode, "--real-models", "--model-host=off", "--no-model-guards")
    result.assert_outcomes(errors=2, failed=1, passed=3)
    result.stdout.fnmatch_lines_random(
        ["E *RuntimeError: setup", "E *RuntimeError: call", "E *RuntimeError: teardown"]
    )
    result.stdout.fnmatch_lines(["all undone"])
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_marker_is_parsed_once(project: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    from pytest_modelenv.gate import prepare
    from pytest_modelenv.markers import call_of, model_call
    from pytest_modelenv.options import resolve_options

    (item,) = project.getitems("import pytest\n\n@pytest.mark.model('a/b', task='ner')\ndef test_one(model): pass\n")
    prepare(item, resolve_options(pytestconfig), asked=True)
    call = call_of(item)
    assert call is not None
    assert (call.name, call.task) == ("a/b", "ner")
    assert model_call(item) is call
    item.add_marker(pytest.mark.model("c/d"), append=False)  # as a fixture can do
    assert model_call(item).name == "c/d"
    assert model_call(item) is call_of(item)
