"""The gate: which `integration` tests are skipped without --real-models, and which are left alone.

Each run is a process of its own, for that a process has imported modelenv says that the project uses it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .projects import all_modes, errors_of, header_of, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

# A project that does not use modelenv, but has markers and fixtures with the same names.
FOREIGN_CONFTEST = """
import sys
import pytest

@pytest.fixture
def model():
    return "an ORM's"

@pytest.fixture
def model_manager(model):
    return f"{model} manager"

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    assert "modelenv" not in sys.modules
"""
FOREIGN = """
import os
import pytest

@pytest.mark.integration
def test_database():
    assert "MODEL_SOURCE" not in os.environ

@pytest.mark.integration("needs a database")
def test_reason(): pass

@pytest.mark.integration
@pytest.mark.model("User")
def test_orm(model, model_manager):
    assert model_manager == "an ORM's manager"

@pytest.mark.model
@pytest.mark.integration
class TestBare:
    def test_one(self, model): pass

@pytest.mark.model_access("User")
def test_permission(): pass
"""


@all_modes
@pytest.mark.slow
def test_a_project_without_modelenv_is_left_alone(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makeconftest(FOREIGN_CONFTEST)
    project.makepyfile(FOREIGN)
    result = run_program(*mode)
    result.assert_outcomes(passed=5)
    assert result.ret == 0, "and nothing imported modelenv"


ONE = "import pytest\n@pytest.mark.integration\ndef test_one(): pass\n"
SKIPPED = "SKIPPED * needs --real-models"


@pytest.mark.slow
@without_and_n2
@pytest.mark.parametrize(
    "sign",
    ["in the test file", "in a service", "in a conftest", "a table", "model_marker = integration",
     "model_cache_dir = models", "forbid_heavy_imports = true", "a source in .env"],
)  # fmt: skip
def test_a_project_that_uses_modelenv_is_gated(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...], sign: str
) -> None:
    service = "import modelenv\ndef load(): return modelenv.SmartModelManager()\n"
    files = {
        "in the test file": {"test_one.py": "from modelenv import SmartModelManager\n" + ONE},
        "in a service": {"service.py": service, "test_one.py": "import service\n" + ONE},
        "in a conftest": {"conftest.py": "import modelenv\n"},
        "a source in .env": {".env": "MODEL_SOURCE=mock_models\n"},
        "a table": {"pyproject.toml": "[tool.modelenv]\ndevice = 'cpu'\n"},
    }.get(sign)
    project.makepyfile(test_one=ONE)
    if files is None:
        with (project.path / "tox.ini").open("a") as ini:
            ini.write(f"\n{sign}\n")
    for name, text in (files or {}).items():
        (project.path / name).write_text(text)
    result = run_program(*mode)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([SKIPPED])
    run_program(*mode, "--real-models", "--model-host=off").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "text",
    [
        "[project]\nname = 'a'\nversion = '1'\ndependencies = ['modelenv']\n",
        "[tool.other]\nmodelenv = true\nmodels = ['acme/crypto']\n",
    ],
)
def test_a_project_that_only_installs_the_plugin_is_left_alone(
    run_program: RunTests, project: pytest.Pytester, text: str
) -> None:
    project.makepyfile(test_one=ONE)
    (project.path / "pyproject.toml").write_text(text)
    run_program().assert_outcomes(passed=1)


USED_BY_SOME = """
import pytest

@pytest.mark.integration
def test_database(): pass

@pytest.fixture
def service(model_manager):
    return model_manager

@pytest.mark.integration
def test_by_a_fixture(tiny_model): pass

@pytest.mark.integration
def test_by_way_of_a_fixture(service): pass

@pytest.mark.integration
@pytest.mark.model_source("local_cache")
def test_by_its_source(): pass

def test_unit(service): pass
"""


@all_modes
def test_a_test_that_uses_a_fixture_is_gated_in_every_project(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(USED_BY_SOME)
    result = run_program(*mode)
    result.assert_outcomes(passed=2, skipped=3)


def test_an_overriding_fixture_can_use_ours(run_program: RunTests, project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest
        @pytest.fixture(scope="session")
        def model_manager(model_manager):
            return model_manager
        """
    )
    project.makepyfile(
        """
        import pytest
        @pytest.mark.integration
        def test_one(model_manager): pass
        """
    )
    run_program().assert_outcomes(skipped=1)


BOTH = """
import pytest
import modelenv

@pytest.mark.integration
def test_database():
    assert modelenv.detect_environment() == "mock_models"

@pytest.mark.needs_models
def test_real():
    assert modelenv.detect_environment() == "download_on_demand"

@pytest.mark.needs_models(host=False)
@pytest.mark.integration
def test_both():
    assert modelenv.detect_environment() == "download_on_demand"

@pytest.mark.needs_models("always")
def test_wrong(mock_models): pass
"""


@all_modes
def test_a_project_names_its_own_gate(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nmodel_marker = needs_models\nmarkers = integration: needs a database\n")
    project.makepyfile(BOTH)
    result = run_tests(*mode)
    result.assert_outcomes(passed=1, skipped=2, errors=1)
    result.stdout.fnmatch_lines(
        ["@pytest.mark.needs_models: needs_models() takes 0 positional arguments but 1 was given; if this *"]
    )
    run_tests(*mode, "--real-models", "--model-host=off").assert_outcomes(passed=3, errors=1)
    markers = run_tests("--markers").stdout.str()
    assert "@pytest.mark.needs_models(host=True): needs real models; skipped without --real-models; " in markers
    assert markers.count("@pytest.mark.integration") == 1


def test_duplicated_names_agree(pytestconfig: pytest.Config) -> None:
    from modelenv import ModelSource
    from pytest_modelenv import gate, startup

    assert set(startup.SOURCES) == {source.value for source in ModelSource}
    fixtures = vars(pytestconfig.pluginmanager.get_plugin("modelenv-fixtures"))
    assert {name for name in fixtures if not name.startswith("_")} == gate._FIXTURES


@pytest.mark.parametrize("name", ["model", "not a name"])
def test_an_invalid_gate_marker(run_tests: RunTests, project: pytest.Pytester, name: str) -> None:
    project.makepyfile("def test_one(): pass")
    result = run_tests("-o", f"model_marker={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == [
        f"ini-option model_marker: '{name}' cannot be the marker of tests that need real models; use a marker of "
        "your own, other than model, model_access, model_source"
    ]


ASKS_THE_HUB = """
import torch
import pytest
from huggingface_hub import HfApi

def ask():
    HfApi().model_info("acme/crypto", timeout=1)

@pytest.mark.integration
def test_integration():
    ask()

@pytest.mark.integration("the Hub")
def test_reason():
    ask()

def test_unit():
    ask()
"""


@pytest.mark.slow
def test_tests_that_are_left_alone_are_not_guarded(
    run_program: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin also watches imports of torch. They must not look as if the project used modelenv."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens on this port
    (project.mkpydir("torch") / "__init__.py").write_text("")
    project.makepyfile(ASKS_THE_HUB)
    monkeypatch.setenv("COLUMNS", "300")
    result = run_program("--tb=line")
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    assert dict(re.findall(r"^FAILED \S+::(\w+) - ([\w.]+)", text, re.MULTILINE)) == {
        "test_integration": "httpx2.ConnectError",
        "test_reason": "httpx2.ConnectError",
        "test_unit": "modelenv.errors.UnexpectedModelAccessError",
    }
    result.stdout.fnmatch_lines(["*= heavy imports =*", "test_tests*.py:1 imported torch: *"])


@pytest.mark.slow
@without_and_n2
@pytest.mark.parametrize("place", ["variables", ".env"])
def test_settings_of_other_programs_do_not_end_the_run(
    run_program: RunTests,
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    mode: tuple[str, ...],
    place: str,
) -> None:
    (project.path / "cache.db").touch()
    settings = {"MODEL_SOURCE": "s3", "MODEL_CACHE_DIR": str(project.path / "cache.db"), "MODEL_TIMEOUT": "10s"}
    if place == ".env":
        (project.path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    else:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
    (project.mkpydir("torch") / "__init__.py").write_text("")
    project.makepyfile(
        test_foreign=FOREIGN.replace('assert "MODEL_SOURCE" not in os.environ', "import torch"),
        test_ours="def test_ours(model_manager): pass\n",  # as test_orm would
    )
    project.makeconftest("import pytest\n@pytest.fixture\ndef model(): return 'an ORM'\n")
    result = run_program(*mode)
    result.assert_outcomes(passed=4, skipped=1, errors=1)
    result.stdout.fnmatch_lines(["E *ConfigurationError: source: unknown model source (from *"])
    assert header_of(result).endswith("; real models with --real-models")
