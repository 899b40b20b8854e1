"""What the benchmarks share: commands timed in turn, so that a change of the machine's load meets all of them."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path


def run_seconds(command: list[str], folder: Path, variables: Mapping[str, str], deadline: float = 300) -> float:
    """Run a command to its end, and return the wall time it took.

    Raises:
        subprocess.CalledProcessError: it failed.
        subprocess.TimeoutExpired: it was still running at the deadline.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=dict(variables), capture_output=True, text=True, timeout=deadline, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        done.check_returncode()
    return seconds


def medians(
    commands: Mapping[str, list[str]], folder: Path, variables: Mapping[str, str], runs: int
) -> dict[str, float]:
    """Run each command `runs` times, in turn, after one run that does not count; return the medians in seconds."""
    return {name: statistics.median(each) for name, each in _taken(commands, folder, variables, runs).items()}


def fastest(
    commands: Mapping[str, list[str]], folder: Path, variables: Mapping[str, str], runs: int
) -> dict[str, float]:
    """Run as `medians` does, and return the fastest runs: other programs make a run slower, never faster."""
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
