"""The cost of a run without real models: it imports no heavy library and opens no socket."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .projects import NO_XDIST

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]


def python(code: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_the_plugin_imports_no_core(clean_environ: dict[str, str]) -> None:
    code = "import sys, pytest_modelenv.plugin; print([m for m in sys.modules if m.partition('.')[0] == 'modelenv'])"
    assert python(code, clean_environ) == "[]"


@pytest.mark.slow
def test_the_core_imports_no_pytest(clean_environ: dict[str, str]) -> None:
    code = """
import importlib, sys
import modelenv
for name in modelenv.__all__:
    getattr(modelenv, name)
for name in ("testing", "hub", "cli", "forcing", "manager", "fetching.snapshot", "loading.unlocked_folder"):
    importlib.import_module(f"modelenv.{name}")
print([m for m in sys.modules if m.partition(".")[0] in ("pytest", "_pytest", "pytest_modelenv")])
"""
    assert python(code, clean_environ) == "[]"


# Written at the end of the run, by a hook that runs after all others.
LOOK_CONFTEST = """
import sys
import pytest

SOCKETS = []
sys.addaudithook(lambda event, arguments: SOCKETS.append(event) if event.startswith("socket.") else None)

@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    imported = {name.partition(".")[0] for name in sys.modules}
    watched = ("torch", "transformers", "huggingface_hub", "numpy", "filelock", "starlette", "modelenv")
    terminalreporter.write_line(f"imported: {[name for name in watched if name in imported]}")
    terminalreporter.write_line(f"sockets: {SOCKETS}")
"""


@pytest.mark.slow
def test_a_run_without_models_imports_nothing(run_program: RunTests, project: pytest.Pytester) -> None:
    project.makeconftest(LOOK_CONFTEST)
    project.makepyfile("def test_one(): pass\n")
    for options in ((), ("--real-models", "--model-host=off")):
        result = run_program(*NO_XDIST, *options)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["imported: []", "sockets: []"])


@pytest.mark.slow
def test_the_fast_run_imports_nothing_heavy_and_opens_no_socket(
    run_program: RunTests, project: pytest.Pytester
) -> None:
    project.makeconftest(LOOK_CONFTEST)
    project.makepyfile(
        service="""
        from modelenv import SmartModelManager
        manager = SmartModelManager()
        def analyze(text):
            return manager.load_model("ProsusAI/finbert", "sentiment")(text)
        """,
        test_service="""
        import pytest
        from service import analyze
        def test_service():
            assert analyze("Bitcoin price surge")
        @pytest.mark.model("ProsusAI/finbert", "text-classification")
        def test_model(model):
            model.when("crash").returns("NEGATIVE", 0.97)
            assert model("crash")[0]["label"] == "NEGATIVE"
        def test_manager(model_manager, mock_models, model_env, model_cache_dir):
            model_env("mock_models", cache_dir=model_cache_dir)
            assert model_manager.load_model("acme/other", "text-classification")("text")
        @pytest.mark.integration
        def test_deselected():
            import torch
        """,
    )
    result = run_program(*NO_XDIST, "-m", "not integration")
    result.assert_outcomes(passed=3, deselected=1)
    result.stdout.fnmatch_lines(["imported: [[]'modelenv'[]]", "sockets: []"])
