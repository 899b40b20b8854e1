"""Code that keeps a pipeline uses the right one in each test, in every order and every mode."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from .projects import N0, N2, NO_XDIST, WITHOUT_XDIST, all_modes, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Mode = tuple[str, ...]
    RunTests = Callable[..., pytest.RunResult]

SERVICE = """
from functools import cached_property, lru_cache
from modelenv import SmartModelManager

manager = SmartModelManager()

def load():
    return manager.load_model("acme/sentiment", "text-classification")

at_import = load()
predict = at_import.predict

@lru_cache
def cached():
    return load()

class Service:
    @cached_property
    def classify(self):
        return load()

service = Service()
"""
TESTS = """
import pytest
import service

HELD = {
    "import": lambda: service.at_import,
    "cache": service.cached,
    "object": lambda: service.service.classify,
    "method": lambda: service.predict,
}

@pytest.fixture(scope="session")
def of_session():
    return service.load()

@pytest.fixture(scope="module", autouse=True)
def scripted():
    if hasattr(service.at_import, "when"):
        service.at_import.when("always").returns("NEGATIVE", 0.75)

@pytest.mark.parametrize("how", HELD)
@pytest.mark.parametrize("number", range(2))
def test_unit(how, number):
    service.at_import.assert_not_called()
    service.at_import.when("crash").returns("NEGATIVE", 0.5)
    assert HELD[how]()("crash")[0] == {"label": "NEGATIVE", "score": 0.5}
    assert service.at_import.call_count == 1

@pytest.mark.parametrize("number", range(2))
def test_unit_of_session(of_session, number):
    of_session.when("crash").returns("NEGATIVE", number)
    assert of_session("crash")[0]["score"] == number

@pytest.mark.integration
@pytest.mark.parametrize("how", HELD)
def test_real(how):
    assert HELD[how]()("bitcoin price surge")[0]["label"] == "POSITIVE"
    assert HELD[how]()("bitcoin price crash")[0]["label"] == "NEGATIVE"
    assert "Fake" not in repr(HELD[how]())

@pytest.mark.integration
def test_real_of_session(of_session):
    assert of_session("bitcoin price surge")[0]["label"] == "POSITIVE"
"""
IMPORTED_LATE = """
import pytest

@pytest.fixture(scope="session")
def service():
    import service
    service.at_import.when("always").returns("NEGATIVE", 0.75)
    return service

@pytest.mark.parametrize("number", range(3))
def test_unit(service, number):
    assert service.at_import("always")[0]["score"] == 0.75
    assert service.at_import("own")[0]["score"] != 0.5
    service.at_import.when("own").returns("NEGATIVE", 0.5)
    assert service.at_import("own")[0]["score"] == 0.5
    assert service.at_import.call_count == 3
"""
IDLE = """
import pytest

@pytest.mark.integration
@pytest.mark.parametrize("number", range(5))
def test_idle(number): pass

@pytest.mark.integration
def test_fails(): assert False

@pytest.mark.integration
def test_skips(): pytest.skip("no database")

def test_unit(model_manager):
    model_manager.load_model("acme/sentiment", "text-classification")("x")
"""
IN_RANDOM_ORDER = ("-p", "pytest_randomly", "--no-model-plan")
MODES = {
    "without-xdist": WITHOUT_XDIST,
    "n0-no-plan": (*N0, "--no-model-plan"),
    "n2": N2,
    "random-n2": (*IN_RANDOM_ORDER, *N2),
    "host-off": (*NO_XDIST, "--model-host=off"),
}


@pytest.fixture
def project_with_model(
    project: pytest.Pytester, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project with a real model in its local cache."""
    shutil.copytree(classifier, project.path / "models" / "acme" / "sentiment")
    for name, value in {
        "MODEL_CACHE_DIR": str(project.path / "models"),
        "MODEL_TIMEOUT": "200",
        "OMP_NUM_THREADS": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "TMPDIR": str(project.mkdir("t")),
    }.items():
        monkeypatch.setenv(name, value)
    return project


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("--real-models", "--model-source=local_cache", *options, timeout=250)


@pytest.mark.integration
@pytest.mark.parametrize("mode", MODES.values(), ids=list(MODES))
def test_kept_pipelines_follow_the_test(project_with_model: pytest.Pytester, mode: tuple[str, ...]) -> None:
    project_with_model.makepyfile(service=SERVICE, test_it=TESTS)
    result = run(project_with_model, *mode)
    result.assert_outcomes(passed=15)
    [line] = summary_of(result)
    assert line.startswith("acme/sentiment: cached")


@pytest.mark.integration
def test_kept_pipelines_follow_the_test_with_a_kept_host(project_with_model: pytest.Pytester) -> None:
    project_with_model.makepyfile(service=SERVICE, test_it=TESTS)
    try:
        for _ in range(2):
            run(project_with_model, "--model-host=keep").assert_outcomes(passed=15)
    finally:
        project_with_model.run(sys.executable, "-m", "modelenv", "host", "stop", timeout=60)


@all_modes
def test_kept_pipelines_in_a_run_without_real_models(
    run_tests: RunTests, project: pytest.Pytester, mode: Mode
) -> None:
    project.makepyfile(service=SERVICE, test_it=TESTS)
    run_tests(*mode).assert_outcomes(passed=10, skipped=5)


@all_modes
def test_a_service_that_is_first_imported_by_a_session_fixture(
    run_tests: RunTests, project: pytest.Pytester, mode: Mode
) -> None:
    project.makepyfile(service=SERVICE, test_it=IMPORTED_LATE)
    run_tests(*mode).assert_outcomes(passed=3)


@all_modes
def test_integration_tests_without_a_real_model_are_counted(
    run_tests: RunTests, project: pytest.Pytester, mode: Mode
) -> None:
    project.makepyfile(test_it=IDLE)
    result = run_tests(*mode, "--real-models", "--model-host=off")
    result.assert_outcomes(passed=6, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "5 integration tests passed without a real model of modelenv: "
            "test_it.py::test_idle[[]0], test_it.py::test_idle[[]1], test_it.py::test_idle[[]2] and 2 more"
        ]
    )
