"""Every fault of the Hub ends with a correct model or one clear error, as documented in docs/faults.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from .faults import ROWS
from .lanes import run_matrix
from .table import documented, render, shown

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"


@pytest.mark.slow
def test_the_quick_rows_are_as_documented(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row.quick]
    cells = run_matrix(rows, tmp_path, ["cold load"])
    assert [reason for cell in cells for reason in cell.wrong] == []
    expected = dict(line.removeprefix("| ").split(" | ")[:2] for line in documented(DOCS).splitlines()[2:])
    assert {cell.row: shown(cell.outcome) for cell in cells} == {row.name: expected[row.name] for row in rows}


def test_the_documented_table_has_every_row() -> None:
    lines = documented(DOCS).splitlines()[2:]
    assert [line.removeprefix("| ").split(" | ")[0] for line in lines] == [row.name for row in ROWS]


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_whole_matrix_is_as_documented(tmp_path: Path) -> None:
    cells = run_matrix(ROWS, tmp_path)
    assert [f"{cell.row}, {cell.lane}: {reason}" for cell in cells for reason in cell.wrong] == []
    assert render(cells) == documented(DOCS)
