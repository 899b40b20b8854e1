"""An invalid marker is an error only of its test. A marker that cannot be modelenv's is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .projects import N0, N2, WITHOUT_XDIST, all_modes

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

# Each marker has the fixture that makes it modelenv's.
MISTAKES = {
    ("model", "model"): "@pytest.mark.model: model() missing 1 required positional argument: 'name'",
    ("model('a/b', 'sentiment', 3)", "model"): (
        "@pytest.mark.model: model() takes from 1 to 2 positional arguments but 3 were given"
    ),
    ("model(3)", "model"): "@pytest.mark.model: name and task must be text",
    ("model('a/b', task=3)", "model"): "@pytest.mark.model: name and task must be text",
    ("model_source", ""): (
        "@pytest.mark.model_source: model_source() missing 1 required positional argument: 'source'"
    ),
    ("model_source(source='nowhere')", ""): (
        "@pytest.mark.model_source: unknown model source 'nowhere', expected one of persistent_volume, mock_models, "
        "download_on_demand, local_cache, huggingface_hub"
    ),
    ("model_source(3)", ""): (
        "@pytest.mark.model_source: unknown model source 3, expected one of persistent_volume, mock_models, "
        "download_on_demand, local_cache, huggingface_hub"
    ),
    ("model_access('always')", ""): (
        "@pytest.mark.model_access: model_access() takes 0 positional arguments but 1 was given"
    ),
    ("integration('slow')", "mock_models"): (
        "@pytest.mark.integration: integration() takes 0 positional arguments but 1 was given; if this marker has "
        "another meaning in your project, set the ini-option model_marker to the marker of your tests that need real "
        "models"
    ),
    ("integration(host=1)", "model_manager"): (
        "@pytest.mark.integration: host must be True or False; if this marker has another meaning in your project, "
        "set the ini-option model_marker to the marker of your tests that need real models"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("marker", "fixture"), MISTAKES)
def test_an_invalid_marker_is_an_error_of_its_test_only(
    run_tests: RunTests, project: pytest.Pytester, marker: str, fixture: str
) -> None:
    project.makepyfile(
        test_it=f"import pytest\ndef test_good(): pass\n@pytest.mark.{marker}\ndef test_bad({fixture}): pass\n"
    )
    for options in ((), ("--real-models", "--model-host=off")):
        result = run_tests(*options)
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["*ERROR at setup of test_bad*", MISTAKES[marker, fixture].replace("[", "[[]")])


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N0, N2], ids=["without-xdist", "n0", "n2"])
def test_an_invalid_marker_in_every_mode(
    run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(
        test_it="""
        import modelenv
        import pytest
        @pytest.mark.model_source
        def test_bad(): pass
        @pytest.mark.model_source
        @pytest.mark.skip(reason="skipped all the same")
        def test_skipped(): pass
        def test_good(model_manager): pass
        """
    )
    result = run_tests(*mode)
    result.assert_outcomes(passed=1, errors=1, skipped=1)
    result.stdout.fnmatch_lines([MISTAKES["model_source", ""]])


def test_an_invalid_marker_on_a_deselected_test_is_ignored(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile("import pytest\ndef test_good(): pass\n@pytest.mark.model\ndef test_bad(model): pass\n")
    run_tests("-k", "good").assert_outcomes(passed=1, deselected=1)


# This includes projects that use modelenv: these runs are in a process that has imported it.
ANOTHER_MEANING = """
import pytest

@pytest.mark.model
def test_model_alone(): pass

@pytest.mark.model(3, 4, 5)
def test_model_with_arguments(): pass

@pytest.mark.integration("needs a database")
def test_reason(): pass

@pytest.mark.integration(database=True)
@pytest.mark.model
class TestKeywords:
    def test_one(self): pass
    @pytest.mark.parametrize("n", [1, 2])
    def test_two(self, n, monkeypatch): pass
"""


@all_modes
def test_a_marker_that_cannot_be_modelenvs_is_left_alone(
    run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(ANOTHER_MEANING)
    run_tests(*mode).assert_outcomes(passed=6)
    run_tests(*mode, "--real-models", "--model-host=off").assert_outcomes(passed=6)
