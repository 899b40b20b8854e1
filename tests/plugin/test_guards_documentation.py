"""docs/guards.md: its first example prints the documented output."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "guards.md").read_text(encoding="utf-8")


def test_the_example_fails_as_documented(
    run_program: Callable[..., pytest.RunResult], project: pytest.Pytester
) -> None:
    blocks = re.findall(r"^```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    service, test, output = blocks[:3]
    (project.path / "news.py").write_text(service)
    (project.path / "test_news.py").write_text(test)
    result = run_program()
    result.assert_outcomes(failed=1)
    assert output.removeprefix("$ pytest\n") + "=" in result.stdout.str()
