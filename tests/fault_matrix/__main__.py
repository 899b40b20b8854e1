"""Runs the fault matrix and prints its table. The exit code is 1 if a cell is wrong.

    python -m tests.fault_matrix [--texts] [--write]     in the root of the repository

`--texts` also shows each error, and `--write` writes the table to docs/faults.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from .faults import ROWS
from .lanes import run_matrix
from .table import render, write

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"


def main() -> int:
    """Run all cells."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cells = run_matrix(ROWS, Path(folder))
    print(render(cells))
    print(f"\n{len(cells)} cells in {time.monotonic() - started:.0f} s")
    if "--texts" in sys.argv:
        for cell in cells:
            print(f"\n{cell.row}, {cell.lane}, {cell.seconds:.1f} s: {cell.text or 'model'}")
    wrong = [f"{cell.row}, {cell.lane}: {reason}" for cell in cells for reason in cell.wrong]
    print("\n".join(wrong), file=sys.stderr)
    if "--write" in sys.argv and not wrong:
        write(DOCS, render(cells))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
