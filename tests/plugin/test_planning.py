"""The order of a run: first tests without real models, then the tests of each model, the same in every worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_modelenv.planning import UNKNOWN, planned_order

from .projects import N0, N2, NO_XDIST, WITHOUT_XDIST

RunTests = Callable[..., pytest.RunResult]

TESTS = """
import pytest

def marked(name):
    return lambda test: pytest.mark.integration(pytest.mark.model(name, "text-classification")(test))

@marked("acme/small")
def test_small_1(): pass

def test_none_1(): pass

@marked("acme/large")
def test_large_1(): pass

@pytest.mark.integration
def test_unknown(): pass

@marked("acme/large")
def test_large_2(): pass

@marked("acme/small")
@pytest.mark.model_source("mock_models")
def test_fake(): pass

@pytest.mark.model("acme/large", "text-classification")
def test_none_2(): pass
"""
COLLECTED = ["small_1", "none_1", "large_1", "unknown", "large_2", "fake", "none_2"]
PLANNED = ["none_1", "fake", "none_2", "large_1", "large_2", "small_1", "unknown"]


def order_of(result: pytest.RunResult) -> list[str]:
    """The tests in the order in which they are listed."""
    return [line.rpartition("::test_")[2] for line in result.outlines if line.startswith("test_it.py::")]


def test_tests_without_a_model_are_first_and_unnamed_models_last() -> None:
    needed = {1: "a", 2: UNKNOWN, 3: None, 4: "b", 5: "b", 6: None, 7: "a", 8: "b", 9: "c"}
    assert planned_order(list(needed), needed.__getitem__) == [3, 6, 4, 5, 8, 1, 7, 9, 2]
    assert planned_order([], needed.__getitem__) == []


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, NO_XDIST, N0], ids=["without-xdist", "no-xdist", "n0"])
def test_the_tests_are_ordered(project: pytest.Pytester, run_tests: RunTests, mode: tuple[str, ...]) -> None:
    project.makepyfile(test_it=TESTS)
    arguments = ("--collect-only", "-q", *mode)
    hostless = ("--real-models", "--model-host=off")
    assert order_of(run_tests(*arguments, *hostless)) == PLANNED
    assert order_of(run_tests(*arguments, *hostless, "--no-model-plan")) == COLLECTED
    assert order_of(run_tests(*arguments)) == COLLECTED


MODULE = """
import pytest

@pytest.fixture(scope="module")
def costly():
    print("SETUP")

@pytest.mark.integration
@pytest.mark.model("acme/{first}", "text-classification")
def test_{first}(costly): pass

class TestClass:
    @pytest.mark.integration
    @pytest.mark.model("acme/{second}", "text-classification")
    def test_{second}(self, costly): pass

    def test_none(self, costly): pass

def test_none(costly): pass
"""


def test_without_workers_modules_and_classes_stay_together(project: pytest.Pytester, run_tests: RunTests) -> None:
    for name, first, second in (("one", "a", "b"), ("three", "a", "b"), ("two", "b", "a")):
        project.makepyfile(**{f"test_{name}": MODULE.format(first=first, second=second)})
    result = run_tests("--real-models", "--model-host=off", "-s", "-v")
    assert result.stdout.str().count("SETUP") == 3
    listed = run_tests("--real-models", "--model-host=off", "--collect-only", "-q")
    assert [line for line in listed.outlines if "::" in line] == [
        f"test_{name}.py::{test}"
        for name, first, second in (("one", "a", "b"), ("three", "a", "b"), ("two", "b", "a"))
        for test in ("test_none", f"test_{first}", f"TestClass::test_{second}", "TestClass::test_none")
    ]


@pytest.mark.parametrize("option", ["--stepwise", "--failed-first", "--new-first"])
def test_an_order_from_pytests_options_is_kept(project: pytest.Pytester, run_tests: RunTests, option: str) -> None:
    project.makepyfile(test_it=TESTS)
    assert order_of(run_tests("--collect-only", "-q", "--real-models", "--model-host=off", option)) == COLLECTED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ((), PLANNED),
        (("--dist=worksteal",), PLANNED),
        (("--dist=loadgroup",), COLLECTED),
        (("--no-model-plan",), COLLECTED),
    ],
)
def test_workers_use_the_order_of_the_run(
    project: pytest.Pytester, run_tests: RunTests, arguments: tuple[str, ...], order: list[str]
) -> None:
    project.makepyfile(test_it=TESTS)
    project.makeconftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(session):
            names = ",".join(item.name.removeprefix("test_") for item in session.items)
            with open("orders.txt", "a") as file:
                file.write(names + "\\n")
        """
    )
    run_tests("--real-models", "--model-host=off", *N2, *arguments).assert_outcomes(passed=7)
    lines = (project.path / "orders.txt").read_text().split()
    assert [line for line in lines if line] == [",".join(order)] * 2
