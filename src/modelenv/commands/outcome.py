"""The outcome of a command: text, JSON and an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelenv.errors import ConfigurationError, ModelDownloadError, ModelEnvError, ModelLoadTimeoutError

FINE, FINDING, LATER = 0, 1, 3


class CommandNotRunnableError(ConfigurationError):
    """The command for `modelenv run` cannot be started."""

    code = 126  # as of a shell, env, nohup and timeout


class CommandNotFoundError(CommandNotRunnableError):
    """There is no such command, or it names an interpreter that does not exist."""

    code = 127


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Attributes:
        lines: The text output.
        data: The JSON output, as plain types.
        code: The exit code: 0 if all is well, 1 if a problem was found. (2 is for a usage error, and 3 for a failure
            that may be temporary.)
    """

    lines: Sequence[str]
    data: dict[str, Any] = field(default_factory=dict)
    code: int = FINE

    def text(self, *, as_json: bool) -> str:
        """Return what to print."""
        return json.dumps(self.data, indent=2) if as_json else "\n".join(self.lines)


def error_text(error: ModelEnvError) -> str:
    """Return an error as JSON."""
    fields = {name: getattr(error, name) for name in ("what", "model", "expected", "found", "tried", "hint")}
    return json.dumps({"error": {"type": type(error).__name__, **fields}}, indent=2)


def error_code(error: ModelEnvError) -> int:
    """Return the exit code for an error.

    A failed or timed out request to the Hub, and a command that cannot be started, have codes of their own.
    """
    if isinstance(error, CommandNotRunnableError):
        return error.code
    return LATER if isinstance(error, ModelDownloadError | ModelLoadTimeoutError) else FINDING


def error_of_system(error: OSError) -> ModelEnvError:
    """Convert an `OSError` raised during a command."""
    if error.filename is None:
        what, hint = "the output cannot be written", "free space where the output goes"
    else:
        what, hint = "a file or folder cannot be used", "give this user permission, or choose another folder"
    found = error.strerror or str(error)
    return ConfigurationError(
        what, found=found if error.filename is None else f"{error.filename}: {found}", hint=hint
    )


def columns(*rows: Sequence[str]) -> list[str]:
    """Align the rows in columns. Rows are never wrapped, so that a pipe gets one line for each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def code_of(findings: Iterable[object]) -> int:
    """Return the exit code: 1 if there are findings, else 0."""
    return FINDING if any(True for _ in findings) else FINE
