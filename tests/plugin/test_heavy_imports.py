"""Imports of torch and transformers in a fast run: forbidden, or reported once with their cost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_modelenv.guards.heavy_imports import import_lines

from .projects import N2, NO_XDIST, WITHOUT_XDIST, all_modes

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]


@pytest.fixture
def heavy_project(project: pytest.Pytester) -> pytest.Pytester:
    """A project with its own packages named torch and transformers. Their import takes a known time."""
    for name, code in {
        "torch": "import time\ntime.sleep(0.3)\n",
        "transformers": "import torch\ndef pipeline(): pass\n",
    }.items():
        (project.mkpydir(name) / "__init__.py").write_text(code)
    return project


SERVICE = """\
def load():
    from transformers import pipeline  # in the service
"""
COLLECTED = """\
import torch  # at the top

def test_one():
    pass
"""
SWALLOWED = """\
try:
    import torch  # swallowed
except Exception:
    torch = None

def test_two():
    pass
"""
IN_TESTS = """\
import pytest
import service

def test_unmarked():
    service.load()

def test_found_but_not_imported():
    import importlib.util
    assert importlib.util.find_spec("torch") is not None

@pytest.mark.model_access
def test_access():
    import torch

@pytest.mark.model_source("local_cache")
def test_real_source():
    import torch

@pytest.mark.integration
def test_integration(model_cache_dir):
    import torch
"""
FORBID = ("-o", "forbid_heavy_imports=true")


@all_modes
def test_forbidden_at_collection(
    run_program: RunTests, heavy_project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    heavy_project.makepyfile(test_collected=COLLECTED, test_swallowed=SWALLOWED)
    result = run_program(*mode, *FORBID, "--tb=short")
    assert result.ret != 0
    text = result.stdout.str()
    for name, line in (("test_collected", 1), ("test_swallowed", 2)):
        assert f"{name}.py imports torch in a run without --real-models\n  found: {name}.py:{line}: " in text
    assert "  found: test_collected.py:1: import torch  # at the top\n" in text
    assert "  what to do: import it in the function that needs it, and use a fake in the test; or allow it: " in text
    assert "forbid_heavy_imports = false (all tests)\n" in text
    assert "heavy imports" not in text


@all_modes
@pytest.mark.slow
def test_forbidden_in_tests_that_are_not_exempt(
    run_program: RunTests, heavy_project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    heavy_project.makepyfile(service=SERVICE, test_in_tests=IN_TESTS)
    result = run_program(*mode, *FORBID, "--tb=short")
    result.assert_outcomes(failed=1, passed=3, skipped=1)
    text = result.stdout.str()
    assert "test_in_tests.py::test_unmarked imports transformers in a run without --real-models" in text
    assert "found: service.py:2 in load: from transformers import pipeline  # in the service\n" in text
    for allowed in (("--real-models", "--model-host=off"), ("--model-guards=off",)):
        run_program(*mode, *FORBID, *allowed, "-k", "unmarked").assert_outcomes(passed=1)


def test_forbidden_in_a_conftest(run_program: RunTests, heavy_project: pytest.Pytester) -> None:
    heavy_project.makeconftest("import torch\n")
    heavy_project.makepyfile("def test_one(): pass\n")
    result = run_program(*NO_XDIST, *FORBID)
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    assert "a conftest.py or a plugin imports torch in a run without --real-models" in text
    assert "found: conftest.py:1: import torch" in text


@all_modes
def test_reported_once_with_its_cost(
    run_program: RunTests, heavy_project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    heavy_project.makepyfile(test_collected=COLLECTED)
    result = run_program(*mode)
    result.assert_outcomes(passed=1)
    (line,) = re.findall(r"^test_collected.py:1 imported torch: ([\d.]+) s(.*)$", result.stdout.str(), re.MULTILINE)
    assert float(line[0]) >= 0.3
    assert line[1] == (" in each of 2 workers" if mode == N2 else "")
    result.stdout.fnmatch_lines(["*= heavy imports =*", "forbid_heavy_imports = true makes this an error"])


def test_the_import_chain_is_reported(run_program: RunTests, heavy_project: pytest.Pytester) -> None:
    heavy_project.makepyfile(service=SERVICE + "load()\n", test_service="import service\n\ndef test_one(): pass\n")
    result = run_program()
    result.stdout.re_match_lines(
        [r"test_service\.py:1 imported torch and transformers \(through service\.py:2\): (0\.[3-9]|[1-9]\d*\.\d) s"]
    )


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N2], ids=["without-xdist", "n2"])
@pytest.mark.slow
def test_intended_imports_are_not_reported(
    run_program: RunTests, heavy_project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    heavy_project.makepyfile(service=SERVICE, test_in_tests=IN_TESTS, test_collected=COLLECTED)
    for options in (("--real-models", "--model-host=off"), ("--no-model-guards",)):
        assert "heavy imports" not in run_program(*mode, *options).stdout.str()
    result = run_program(*mode, "test_in_tests.py", "-k", "not unmarked")
    result.assert_outcomes(passed=3, skipped=1)
    assert "heavy imports" not in result.stdout.str()


def test_lines_group_by_the_importing_line() -> None:
    def found(module: str, seconds: float, importer: str = "a.py:1", test_file: str = "a.py:1") -> dict[str, object]:
        return {"modules": [module], "importer": importer, "test_file": test_file, "seconds": seconds}

    assert import_lines([]) == []
    assert import_lines(
        [("", found("transformers", 0.5)), ("", found("torch", 1.5)), ("", found("torch", 1, "b.py:2", "c.py:3"))]
    ) == ["a.py:1 imported torch and transformers: 2.0 s", "c.py:3 imported torch (through b.py:2): 1.0 s"]
    assert import_lines([("gw0", found("torch", 1)), ("gw1", found("torch", 2)), ("gw1", found("torch", 1))]) == [
        "a.py:1 imported torch: 3.0 s in each of 2 workers"
    ]
