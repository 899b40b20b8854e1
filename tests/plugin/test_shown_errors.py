"""How pytest shows the error of a load: the lines of the test and the message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .projects import N2, WITHOUT_XDIST, all_modes

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

APP = """
from modelenv import SmartModelManager

def classifier():
    return SmartModelManager("persistent_volume").load_model("acme/missing", "sentiment")
"""
TESTS = """
import asyncio
import contextlib
import pytest
from modelenv import ModelEnvError, SmartModelManager
from app import classifier

@contextlib.contextmanager
def block():
    yield classifier()

def test_direct():
    classifier()

def test_async():
    asyncio.run(SmartModelManager("persistent_volume").aload_model("acme/missing", "sentiment"))

def test_in_a_context_manager():
    with block():
        pass

@pytest.fixture
def pipeline():
    return classifier()

def test_in_a_fixture(pipeline):
    pass

@pytest.mark.model("acme/missing", task="nosuch-task")
def test_our_fixture(model):
    pass

def test_an_error_of_the_test_itself():
    try:
        classifier()
    except ModelEnvError:
        raise RuntimeError("as the test says")

def test_an_error_of_ours_that_the_test_raises():
    raise ModelEnvError("made by the test")
"""
MESSAGE = "E   modelenv.errors.ModelNotFoundError: acme/missing: not in this store"
PLACES = {
    "test_direct": ["test_it.py: in test_direct", "app.py: in classifier"],
    "test_async": ["test_it.py: in test_async"],
    "test_in_a_fixture": ["test_it.py: in pipeline", "app.py: in classifier"],
    "test_our_fixture": ["fixtures.py: in model"],
    "test_an_error_of_the_test_itself": [
        "test_it.py: in test_an_error_of_the_test_itself", "app.py: in classifier",
        "test_it.py: in test_an_error_of_the_test_itself",
    ],
    "test_an_error_of_ours_that_the_test_raises": ["test_it.py: in test_an_error_of_ours_that_the_test_raises"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _tests(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(project.path / "volume"))
    project.makepyfile(app=APP, test_it=TESTS)


def places_of(result: pytest.RunResult) -> dict[str, list[str]]:
    """Return the file and the function of each shown frame, by test."""
    found: dict[str, list[str]] = {}
    test = ""
    for line in result.outlines:
        title = re.fullmatch(r"_+ (?:ERROR at setup of )?(\w+|ERROR collecting .*) _+", line)
        place = re.fullmatch(r"(?:.*/)?(\w+\.py):\d+: in (.+)", line)
        if title is not None:
            test = title[1]
        elif place is not None:
            found.setdefault(test, []).append(f"{place[1]}: in {place[2]}")
    return found


@all_modes
def test_the_lines_of_the_test_and_the_message(run_tests: RunTests, mode: tuple[str, ...]) -> None:
    result = run_tests(*mode, "--tb=short")
    result.assert_outcomes(failed=5, errors=2)
    places = places_of(result)
    through_python = places.pop("test_in_a_context_manager")
    assert [place for place in through_python if not place.startswith("contextlib.py")] == [
        "test_it.py: in test_in_a_context_manager", "test_it.py: in block", "app.py: in classifier",
    ]  # fmt: skip
    assert places == PLACES
    assert result.outlines.count(MESSAGE) == 5
    assert "E   RuntimeError: as the test says" in result.outlines


@pytest.mark.parametrize("style", ["long", "auto", "line"])
def test_every_style_ends_at_the_line_of_the_test(run_tests: RunTests, style: str) -> None:
    text = run_tests(f"--tb={style}", "-k", "direct").stdout.str()
    assert "acme/missing: not in this store" in text
    assert "src/modelenv" not in text


def test_the_full_trace_is_shown_on_demand(run_tests: RunTests) -> None:
    text = run_tests("--full-trace", "-k", "direct").stdout.str()
    assert "unlocked_folder.py" in text
    assert "acme/missing: not in this store" in text


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, pytest.param(N2, marks=pytest.mark.slow)])
def test_a_load_at_import_time(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    project.makepyfile(test_it="from app import classifier\nclassifier()\ndef test_it(): pass\n")
    result = run_tests(*mode)
    places = {name: list(dict.fromkeys(found)) for name, found in places_of(result).items()}  # each worker shows it
    assert places == {"ERROR collecting test_it.py": ["test_it.py: in <module>", "app.py: in classifier"]}
    assert MESSAGE in result.outlines
