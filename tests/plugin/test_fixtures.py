"""Fixtures: their values without real models, and their errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .projects import all_modes, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

FAKES = """
import pytest
from modelenv import ConfigurationError, SmartModelManager, detect_environment

@pytest.mark.model("acme/sentiment", task="text-classification")
def test_model(model, model_manager):
    (answer,) = model("Bitcoin price surge")
    assert set(answer) == {"label", "score"}
    model.assert_called_once_with("Bitcoin price surge")
    assert model is model_manager.load_model("acme/sentiment", "text-classification")

@pytest.mark.model("acme/sentiment", "sentiment")
class TestClosest:
    def test_of_class(self, model):
        assert len(model(["good", "bad"])[0]) == 3

    @pytest.mark.model("acme/other", task="text-classification", top_k=1)
    def test_of_function(self, model):
        (answer,) = model("good")
        assert "acme/other" in repr(model)

@pytest.mark.parametrize("number", [1, 2])
def test_fakes_are_new_in_each_test(model_manager, number):
    fake = model_manager.load_model("acme/sentiment", "sentiment")
    fake.assert_not_called()
    fake("called")

@pytest.mark.parametrize("number", [1, 2])
def test_mock_models_resets_a_service(mock_models, number):
    fake = SERVICE.load_model("acme/sentiment", "sentiment")
    fake.assert_not_called()
    fake("called")

SERVICE = SmartModelManager()

def test_manager(model_manager):
    assert isinstance(model_manager, SmartModelManager)
    assert model_manager.environment == "mock_models"

def test_real_models(real_models):
    assert detect_environment() == "download_on_demand"

@pytest.fixture
def helper(real_models):
    return detect_environment()

def test_real_models_by_way_of_a_fixture(helper):
    assert helper == "download_on_demand"
"""


@all_modes
def test_without_real_models(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    project.makepyfile(test_it=FAKES)
    result = run_tests(*mode)
    result.assert_outcomes(passed=8, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED * needs --real-models"])
    assert "real models ==" not in result.stdout.str()


def test_real_models_with_the_option(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile(test_it=FAKES)
    result = run_tests("--real-models", "--model-host=off", "-k", "real_models")
    result.assert_outcomes(passed=2, deselected=8)


@without_and_n2
def test_model_without_its_marker(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    project.makepyfile(test_it="def test_nothing(model): pass")
    result = run_tests(*mode)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "E *UsageError: test_it.py::test_nothing: the fixture `model` needs the marker "
            "@pytest.mark.model(name, task=...) on the test"
        ]
    )


def test_an_invalid_name_fails_only_its_test(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        @pytest.mark.model("../etc/passwd", "sentiment")
        def test_name(model): pass
        @pytest.mark.model("acme/sentiment", "no-such-task")
        def test_task(model): pass
        @pytest.mark.model("acme/sentiment")
        def test_no_task(model): pass
        """
    )
    result = run_tests()
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines_random(
        ["E *found: '../etc/passwd'", "E *no-such-task*", "E *acme/sentiment: no task was given for the model"]
    )


MODEL_ENV = """
import os
from modelenv import SmartModelManager, detect_environment, model_manager

def look():
    return (os.environ.get("MODEL_SOURCE"), os.environ.get("MODEL_CACHE_DIR"), os.environ.get("MODEL_VOLUME_DIR"),
            os.environ.get("HF_HUB_OFFLINE"), os.environ.get("HOME"))

BEFORE = look()

def test_several_times(model_env, tmp_path, model_cache_dir):
    model_env("local_cache", cache_dir=tmp_path)
    assert detect_environment() == model_manager.environment == "local_cache"
    assert model_manager.settings.cache_dir == tmp_path
    model_env("persistent_volume", volume_dir=str(tmp_path / "volume"))
    assert model_manager.settings.root_of(model_manager.environment) == tmp_path / "volume"
    assert look() == ("persistent_volume", str(tmp_path), str(tmp_path / "volume"), "1", BEFORE[-1])
    model_env(HOME=None, MODEL_TIMEOUT="2.5")
    assert look()[-1] is None
    assert model_manager.settings.timeout == 2.5
    assert model_manager.environment == "persistent_volume"
    model_env("download_on_demand")
    assert look()[1] == str(tmp_path), "the test's own folder stays"
    assert look()[3] is None

def test_undone():
    assert look() == BEFORE == (None, None, None, None, BEFORE[-1])
    assert model_manager.environment == "mock_models"

def test_shared_folder(model_env, model_cache_dir):
    model_env("download_on_demand")
    assert look()[1] == str(model_cache_dir)
    model_env("local_cache")
    assert look()[1] == str(model_cache_dir)

def test_local_cache_is_the_projects_own(model_env):
    model_env("local_cache")
    assert look()[1] is None

def test_unknown(model_env):
    model_env("nowhere")
"""


def test_model_env(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile(MODEL_ENV)
    result = run_tests()
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["E *ConfigurationError: unknown model source"])


HUB = """
import http.client
import json
import os
import pytest
from modelenv import detect_environment

def ask(hub, path):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status

@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path

@pytest.mark.parametrize("number", [1, 2])
def test_a_clean_hub(model_hub, folder, number):
    model_hub.assert_no_requests()
    assert ask(model_hub, "/api/models/org/name") in (401, 404)
    model_hub.add(folder, "org/name")
    assert ask(model_hub, "/api/models/org/name") == 200
    assert [request.kind for request in model_hub.requests] == ["info", "info"]
    assert os.environ["HF_ENDPOINT"] == model_hub.endpoint
    assert "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["HF_HOME"] == "home of the user"
    assert detect_environment() == "mock_models"

def test_a_view_of_one_server(model_hub, model_hub_server, folder):
    assert model_hub.endpoint != model_hub_server.endpoint
    model_hub_server.add(folder, "org/same")
    model_hub_server.assert_no_requests()
    with model_hub_server.view() as view:
        assert ask(view, "/api/models/org/same") == 200

def test_its_downloads_are_its_own(model_hub, model_env, model_cache_dir):
    model_env("download_on_demand")
    assert not os.environ["MODEL_CACHE_DIR"].startswith(str(model_cache_dir))
    assert not os.environ["HF_HUB_CACHE"].startswith("home of the user")

def test_undone():
    assert "HF_ENDPOINT" not in os.environ
    assert os.environ["HF_HUB_OFFLINE"] == "1"
"""


@pytest.mark.slow
@all_modes
def test_model_hub(
    run_program: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", "home of the user")
    project.makepyfile(HUB)
    run_program(*mode).assert_outcomes(passed=5)


@pytest.mark.slow
def test_model_hub_without_its_extra(run_program: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile("import sys\nsys.modules['starlette'] = None\ndef test_hub(model_hub): pass\n")
    result = run_program()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *ConfigurationError: the embedded Hub needs the extra [[]hub[]]"])
    result.stdout.fnmatch_lines(["E * what to do: pip install 'modelenv[[]hub[]]'"])


def test_every_fixture_is_documented(run_tests: RunTests) -> None:
    text = run_tests("--fixtures", "-v").stdout.str()
    ours = text.split("fixtures defined from pytest_modelenv.fixtures")[1]
    names = re.findall(r"^(\w+)(?: \[session scope\])? -- ", ours, re.MULTILINE)
    assert set(names) == {
        "mock_models", "model", "model_cache_dir", "model_env", "model_hub", "model_hub_server", "model_manager",
        "real_models", "tiny_model",
    }  # fmt: skip
    assert "no docstring available" not in ours


BESIDE = """
import asyncio
import pytest
from modelenv import SmartModelManager, detect_environment, model_manager

pytestmark = pytest.mark.timeout(100)

@pytest.mark.asyncio
async def test_unmarked():
    fake = await model_manager.aload_model("acme/sentiment", "sentiment")
    assert len((await asyncio.to_thread(fake, ["Bitcoin"]))[0]) == 3
    assert detect_environment() == "mock_models"

@pytest.mark.asyncio
@pytest.mark.model("acme/sentiment", "sentiment")
async def test_model(model):
    assert len(model(["Bitcoin"])[0]) == 3

@pytest.mark.asyncio
@pytest.mark.integration
async def test_integration(model_env):
    assert detect_environment() == "download_on_demand"
    model_env("mock_models")
    assert detect_environment() == "mock_models"

@pytest.mark.asyncio
async def test_mock(mock_models, model_manager):
    assert len((await model_manager.aload_model("acme/sentiment", "sentiment"))(["Bitcoin"])[0]) == 3
"""


@without_and_n2
@pytest.mark.slow
def test_beside_asyncio_timeout_and_randomly(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nasyncio_default_fixture_loop_scope = function\n")
    project.makepyfile(BESIDE)
    others = ("-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "randomly")
    run_program(*mode, *others, "--real-models", "--model-host=off").assert_outcomes(passed=4)
