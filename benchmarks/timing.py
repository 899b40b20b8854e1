"""Shared by the benchmarks: alternating, timed commands, so that changes of the machine's load affect all of them."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path


def run_seconds(command: list[str], folder: Path, variables: Mapping[str, str], deadline: float = 300) -> float:
    """Run a command to its end, and return the wall time it took. Python can write its bytecode, as for users.

    Raises:
        subprocess.CalledProcessError: it failed.
        subprocess.TimeoutExpired: it was still running at the deadline.
    """
    variables = {name: value for name, value in variables.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=deadline, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        done.check_returncode()
    return seconds


def medians(
    commands: Mapping[str, list[str]], folder: Path, variables: Mapping[str, str], runs: int
) -> dict[str, float]:
    """Run each command `runs` times, alternating, after a warm-up run. Returns the medians in seconds."""
    return {name: statistics.median(each) for name, each in _taken(commands, folder, variables, runs).items()}


def fastest(
    commands: Mapping[str, list[str]], folder: Path, variables: Mapping[str, str], runs: int
) -> dict[str, float]:
    """Run the commands like `medians`, but return the fastest runs: other programs only make a run slower."""
    return {name: min(each) for name, each in _taken(commands, folder, variables, runs).items()}


def _taken(
    commands: Mapping[str, list[str]], folder: Path, variables: Mapping[str, str], runs: int
) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            seconds = run_seconds(command, folder, variables)
            if turn:
                taken[name].append(seconds)
    return taken
