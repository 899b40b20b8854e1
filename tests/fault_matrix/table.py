"""The matrix as a Markdown table, for the output and for docs/faults.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lanes import LANES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .lanes import Cell

START, END = "<!-- fault matrix -->", "<!-- end of fault matrix -->"


def render(cells: Sequence[Cell]) -> str:
    """Return the table: a row for each fault, and a column for each lane."""
    outcomes = {(cell.row, cell.lane): cell.outcome for cell in cells}
    rows = dict.fromkeys(cell.row for cell in cells)
    return "\n".join(
        [
            f"| the Hub's fault | {' | '.join(LANES)} |",
            "|---" * (len(LANES) + 1) + "|",
            *(f"| {row} | {' | '.join(shown(outcomes[row, lane]) for lane in LANES)} |" for row in rows),
        ]
    )


def shown(outcome: str) -> str:
    """Return an outcome in the format of the table."""
    return outcome if outcome == "model" else " or ".join(f"`{name}`" for name in outcome.split(" or "))


def documented(path: Path) -> str:
    """Return the table in the file."""
    return path.read_text(encoding="utf-8").partition(START)[2].partition(END)[0].strip()


def write(path: Path, table: str) -> None:
    """Replace the table in the file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{START}\n{table}\n{END}{after}", encoding="utf-8")
