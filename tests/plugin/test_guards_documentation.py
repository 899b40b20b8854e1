"""docs/guards.md: its first example prints the documented output in both modes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

from .conftest import PLAIN_INI

TEXT = (Path(__file__).parents[2] / "docs" / "guards.md").read_text(encoding="utf-8")


@pytest.fixture
def outputs(project: pytest.Pytester) -> list[str]:
    """Write the example. Return the documented outputs of its runs."""
    project.makeini(PLAIN_INI)
    service, test, *outputs = re.findall(r"^```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (project.path / "news.py").write_text(service)
    (project.path / "test_news.py").write_text(test)
    return outputs


def without_times(text: str) -> str:
    return re.sub(r"\d+\.\d s", "T s", text)


def test_the_example_is_reported_as_documented(
    run_program: Callable[..., pytest.RunResult],
    project: pytest.Pytester,
    outputs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = project.mkdir("model")
    (folder / "config.json").write_text(" " * 758)
    with EmbeddedHub() as hub:
        hub.add(folder, "ProsusAI/finbert")
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")  # the client sends it only from time to time
        result = run_program()
    result.assert_outcomes(passed=1)
    assert without_times(outputs[0].removeprefix("$ pytest\n")) + "=" in without_times(result.stdout.str())


def test_the_example_fails_as_documented(run_program: Callable[..., pytest.RunResult], outputs: list[str]) -> None:
    result = run_program("--model-guards=error")
    result.assert_outcomes(failed=1)
    assert outputs[1].removeprefix("$ pytest --model-guards=error\n") + "=" in result.stdout.str()
