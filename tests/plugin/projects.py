"""The modes in which a user runs pytest, and functions that read the results."""

from __future__ import annotations

import re

import pytest

WITHOUT_XDIST = ()
NO_XDIST = ("-p", "no:xdist")
N0 = ("-p", "xdist", "-n0")
N2 = ("-p", "xdist", "-n2")
N4 = ("-p", "xdist", "-n4")
REAL = ("--real-models", "--model-host=off")  # `test_hosting` tests the model host

_slow_modes = [pytest.param(NO_XDIST, marks=pytest.mark.slow), pytest.param(N0, marks=pytest.mark.slow)]
_n2 = pytest.param(N2, marks=pytest.mark.slow)
all_modes = pytest.mark.parametrize(
    "mode", [WITHOUT_XDIST, *_slow_modes, _n2], ids=["without-xdist", "no-xdist", "n0", "n2"]
)
controllers = pytest.mark.parametrize("mode", [WITHOUT_XDIST, *_slow_modes], ids=["without-xdist", "no-xdist", "n0"])


def header_of(result: pytest.RunResult) -> str:
    """Return the plugin's line in the header."""
    (line,) = [line for line in result.outlines if line.startswith("modelenv: ")]
    return line


def summary_of(result: pytest.RunResult) -> list[str]:
    """Return the summary lines of models. All models belong to `acme`."""
    return [line for line in result.outlines if line.startswith("acme/")]


def errors_of(result: pytest.RunResult) -> list[str]:
    """Return pytest's usage errors."""
    return [line.removeprefix("ERROR: ") for line in result.errlines if line.startswith("ERROR: ")]


def failures_of(result: pytest.RunResult) -> dict[str, str]:
    """Return the place of the refused access in each failed test, by test name."""
    refused = r"^.*::(\w+) (?:sends a request to the Hub|loads real weights).*\n"
    details = r"  found: (\S+:\d+ in \w+): .+\n  what to do: .+$"
    return dict(re.findall(refused + details, result.stdout.str(), re.MULTILINE))


def line_of(text: str, mark: str) -> int:
    (number,) = [number for number, line in enumerate(text.splitlines(), 1) if mark in line]
    return number
