"""What a verb has to say: for people, for machines, and as an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

FINE, FINDING = 0, 1


@dataclass(frozen=True)
class Outcome:
    """The result of a verb.

    Attributes:
        lines: for people.
        data: for machines, as plain types.
        code: 0 if all is well, 1 if something was found. (2 is for a call that cannot be understood.)
    """

    lines: Sequence[str]
    data: dict[str, Any] = field(default_factory=dict)
    code: int = FINE

    def text(self, *, as_json: bool) -> str:
        """Return what to print."""
        return json.dumps(self.data, indent=2) if as_json else "\n".join(self.lines)


def columns(*rows: Sequence[str]) -> list[str]:
    """Align the rows. They never break, so that a pipe gets one line for each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def size_text(size: int) -> str:
    """Return a number of bytes as people read it."""
    amount, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{size} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def counted(number: int, what: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def code_of(findings: Iterable[object]) -> int:
    """Return the exit code for what was found."""
    return FINDING if any(True for _ in findings) else FINE
