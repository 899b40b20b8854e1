"""A project with options that have the names of the plugin's: it starts, and has its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .conftest import PLAIN_INI
from .projects import all_modes, errors_of, header_of, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

# Options of the project with other types than the plugin's.
OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--real-models", action="store_true", help="cars, not toys")
    group = parser.getgroup("cars")
    group.addoption("--model-source", default="the factory")
    group.addoption("--model-guards", help="the guards of the factory")
    parser.addoption("--model-host", type=int)
    parser.addoption("--model-memory", type=float)
    parser.addoption("--model-cache-dir", action="append")
    parser.addoption("--no-model-plan", action="store_false")
    parser.addoption("--model", default="T")
    parser.addini("model_source", "where cars come from", type="linelist")
    parser.addini("model_guards", "guard the cars", type="bool")
    parser.addini("model_marker", "several markers", type="args")
    parser.addini("model_cache_dir", "garages", type="paths")
    parser.addini("forbid_heavy_imports", "how heavy", type="args")
"""
TESTS = """
import sys
import pytest

def test_options(pytestconfig):
    values = {name: pytestconfig.getoption(f"--{name}") for name in (
        "real-models", "model-source", "model-guards", "model-host", "model-memory", "model-cache-dir",
        "no-model-plan", "model",
    )}
    assert values == {
        "real-models": True, "model-source": "nowhere", "model-guards": "strict", "model-host": 8,
        "model-memory": 0.5, "model-cache-dir": ["one", "two"], "no-model-plan": False, "model": "S",
    }
    assert pytestconfig.option.real_models and pytestconfig.option.model_guards == "strict"

def test_ini_options(pytestconfig):
    assert pytestconfig.getini("model_source") == ["the factory", "the museum"]
    assert pytestconfig.getini("model_guards") is True
    assert pytestconfig.getini("model_marker") == ["one two", "three"]
    assert [path.name for path in pytestconfig.getini("model_cache_dir")] == ["here", "there"]
    assert pytestconfig.getini("forbid_heavy_imports") == ["very", "heavy"]

@pytest.mark.integration
def test_integration():
    assert "modelenv" not in sys.modules
"""
ASKED = (
    "--real-models", "--model-source", "nowhere", "--model-guards=strict", "--model-host=8", "--model-memory=0.5",
    "--model-cache-dir=one", "--model-cache-dir=two", "--no-model-plan", "--model=S",
)  # fmt: skip
OWN_OPTIONS = (
    "--real-models", "--model-source", "--model-guards", "--model-host", "--model-memory", "--model-cache-dir",
    "--no-model-plan", "--model",
)  # fmt: skip
INI = f"""{PLAIN_INI}
model_source =
    the factory
    the museum
model_guards = yes
model_marker = "one two" three
model_cache_dir = here there
forbid_heavy_imports = very heavy
"""
WHERE = pytest.mark.parametrize("where", ["conftest", "plugin before", "plugin after"])


def add_options(project: pytest.Pytester, where: str, text: str = OPTIONS) -> tuple[str, ...]:
    """Add the options, and return the arguments with which the project is run. pytest loads `-p` in their order."""
    if where == "conftest":
        project.makeconftest(text)
        return ()
    project.makepyfile(cars=text)
    return ("-p", "cars") if where == "plugin before" else ("-p", "pytest_modelenv.plugin", "-p", "cars")


@pytest.fixture
def cars(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with the options above that says nothing about models."""
    project.makeini(INI.replace("-p pytest_modelenv.plugin", ""))
    project.makepyfile(TESTS)
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_modelenv.plugin")  # after each `-p`
    return project


@all_modes
@WHERE
def test_the_project_has_its_own_options(
    run_program: RunTests, cars: pytest.Pytester, where: str, mode: tuple[str, ...]
) -> None:
    result = run_program(*add_options(cars, where), *mode, *ASKED)
    result.assert_outcomes(passed=3)
    assert header_of(result) == "modelenv: fakes; real models with --real-models"


@WHERE
def test_the_help_shows_the_projects_options(run_program: RunTests, cars: pytest.Pytester, where: str) -> None:
    text = run_program(*add_options(cars, where), "--help").stdout.str()
    assert "cars, not toys" in text
    assert "guard the cars" in text
    for name in (*OWN_OPTIONS, "model_source", "model_guards", "model_marker", "model_cache_dir"):
        assert len(re.findall(rf"^  {re.escape(name)}(?![\w-])", text, re.MULTILINE)) == 1, name
    assert "\n  --no-model-guards " in text


@without_and_n2
def test_the_other_options_are_the_plugins(
    run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makeconftest(
        """
        def pytest_addoption(parser):
            parser.addoption("--model-source")
        """
    )
    project.makepyfile(
        """
        import pytest
        @pytest.mark.model_access
        def test_option(pytestconfig):
            assert pytestconfig.getoption("--model-source") == "nowhere"
        """
    )
    result = run_tests(*mode, "--real-models", "--model-host=off", "--model-source=nowhere")
    result.assert_outcomes(passed=1)
    assert header_of(result).startswith("modelenv: real models from download_on_demand (default), cache ")


def test_a_conftest_that_is_found_during_the_collection(run_tests: RunTests, project: pytest.Pytester) -> None:
    folder = project.mkdir("inner")
    (folder / "conftest.py").write_text(OPTIONS)
    (folder / "test_inner.py").write_text(
        "def test(pytestconfig): assert pytestconfig.getini('forbid_heavy_imports') == []\n"
    )
    run_tests("--real-models", "--model-host=off").assert_outcomes(passed=1)


def test_a_conftest_whose_option_takes_a_value_where_the_plugins_does_not(
    run_program: RunTests, project: pytest.Pytester
) -> None:
    """pytest parses the command line once before it imports the conftest.py, and reports this then."""
    project.makeconftest("def pytest_addoption(parser): parser.addoption('--real-models')\n")
    project.makepyfile("def test(pytestconfig): assert pytestconfig.getoption('--real-models') == 'all'\n")
    run_program("--real-models", "all").assert_outcomes(passed=1)
    result = run_program("--real-models=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "argument --real-models: ignored explicit argument 'all'" in result.stderr.str()


def test_two_other_plugins_with_the_same_option_are_an_error_as_before(
    run_program: RunTests, project: pytest.Pytester
) -> None:
    text = "def pytest_addoption(parser): parser.addoption('--real-models', action='store_true')\n"
    project.makepyfile(cars=text)
    project.makeconftest(text)
    result = run_program("-p", "cars")
    assert result.ret != pytest.ExitCode.OK
    assert "--real-models" in result.stderr.str()


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--model-guards=strict", "--model-guards: 'strict' is not a mode; choose one of report, error, off"),
        ("--model-host=always", "--model-host: 'always' is not a mode; choose one of off, run, keep"),
    ],
)
def test_an_invalid_value(run_tests: RunTests, option: str, error: str) -> None:
    result = run_tests(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == [error]


def test_options_are_not_abbreviated(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile("def test(): pass\n")
    for option in ("--real", "--model-g=off", "--model"):
        result = run_tests(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert f"unrecognized arguments: {option}" in result.stderr.str()


UNKNOWN = "ini-option model_guards: 'loud' is not a mode; choose one of report, error, off"


@without_and_n2
def test_an_unknown_mode_in_a_project_without_models(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    """It could be another program's: pytest only warns of an option that no plugin has."""
    project.makeini("[pytest]\naddopts = -p pytest_modelenv.plugin\nmodel_guards = loud\n")
    project.makepyfile("def test(): pass\n")
    result = run_program(*mode)
    result.assert_outcomes(passed=1, warnings=result.parseoutcomes()["warnings"])
    assert f"PytestConfigWarning: {UNKNOWN}" in result.stdout.str()
    result = run_program(*mode, "--strict-config")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == [UNKNOWN]
    (project.path / "pyproject.toml").write_text("[tool.modelenv.models]\n'acme/crypto' = 'text-classification'\n")
    assert errors_of(run_program(*mode)) == [UNKNOWN]
