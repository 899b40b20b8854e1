"""What a verb has to say: for people, for machines, and as an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelenv.errors import ConfigurationError, ModelDownloadError, ModelEnvError, ModelLoadTimeoutError

FINE, FINDING, LATER = 0, 1, 3


@dataclass(frozen=True)
class Outcome:
    """The result of a verb.

    Attributes:
        lines: for people.
        data: for machines, as plain types.
        code: 0 if all is well, 1 if something was found. (2 is for a call that cannot be understood, and 3 for what
            may go well later.)
    """

    lines: Sequence[str]
    data: dict[str, Any] = field(default_factory=dict)
    code: int = FINE

    def text(self, *, as_json: bool) -> str:
        """Return what to print."""
        return json.dumps(self.data, indent=2) if as_json else "\n".join(self.lines)


def error_text(error: ModelEnvError) -> str:
    """Return an error for machines."""
    fields = {name: getattr(error, name) for name in ("what", "model", "expected", "found", "tried", "hint")}
    return json.dumps({"error": {"type": type(error).__name__, **fields}}, indent=2)


def error_code(error: ModelEnvError) -> int:
    """Return the exit code for an error: another one where the Hub did not give what was asked, or not in time."""
    return LATER if isinstance(error, ModelDownloadError | ModelLoadTimeoutError) else FINDING


def error_of_system(error: OSError) -> ModelEnvError:
    """Return our error for what the system refused to a verb."""
    if error.filename is None:
        what, hint = "the output cannot be written", "make room where it goes to"
    else:
        what, hint = "this cannot be used", "give this user the right, or name another folder"
    found = error.strerror or str(error)
    return ConfigurationError(
        what, found=found if error.filename is None else f"{error.filename}: {found}", hint=hint
    )


def columns(*rows: Sequence[str]) -> list[str]:
    """Align the rows. They never break, so that a pipe gets one line for each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def code_of(findings: Iterable[object]) -> int:
    """Return the exit code for what was found."""
    return FINDING if any(True for _ in findings) else FINE
