"""The cost of real models in a run of 41 tests with a warm cache: python benchmarks/host_runs.py [RUNS].

Compares session fixtures, which load both models in each worker, with the model host, for one run and kept. Prints
the wall time of the whole process, as medians of alternating runs, and the peak memory of all processes (PSS, which
counts shared pages once), sampled in separate runs.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from example_project import FAKE, FAKE_TESTS, PLAIN, PYTEST, REAL, variables, write_models, write_suite
from timing import medians, run_seconds

WORKERS = ("-n", "4")
SAMPLE_SECONDS = 0.1


def main() -> int:
    """Print the medians, the memory, and the ratios with their limits. Returns 1 if a limit is exceeded."""
    from modelenv.hub import EmbeddedHub

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_models(work / "models")
        write_suite(work / "plain", PLAIN)
        write_suite(work / "fake", FAKE, FAKE_TESTS)
        write_suite(work / "real", REAL)
        ours = [*PYTEST, "--real-models", str(work / "real")]
        plain = [*PYTEST, "-p", "no:modelenv", str(work / "plain")]
        commands = {
            "session fixtures": plain,
            "session fixtures, -n 4": [*plain, *WORKERS],
            "fakes": [*PYTEST, str(work / "fake")],
            "model host": [*ours, "--model-host=run"],
            "model host, -n 4": [*ours, "--model-host=run", *WORKERS],
            "kept host": [*ours, "--model-host=keep"],
        }
        with EmbeddedHub(work / "models") as hub:
            environ = {
                **variables(hub.endpoint, work / "cache"),
                "TMPDIR": name,
            }  # a kept host of this benchmark's own
            try:
                seconds = medians(commands, work, environ, runs)
                memory = {name: peak_pss(commands[name], environ) for name in commands if "-n 4" in name}
            finally:
                run_seconds([sys.executable, "-m", "modelenv", "host", "stop"], work, environ)
    for label, value in seconds.items():
        shown = f"{memory[label] / 1e6:8.0f} MB" if label in memory else ""
        print(f"{label:24} {value:6.2f} s {shown}")
    print(f"medians of {runs} runs in turn")
    return 0 if all([*ratios(seconds, memory)]) else 1


def ratios(seconds: Mapping[str, float], memory: Mapping[str, int]) -> list[bool]:
    """Print each ratio with its limit. Returns for each whether the limit is kept."""
    ours, plain = "model host, -n 4", "session fixtures, -n 4"
    compared = [
        ("wall time, -n 4, to session fixtures -n 4", seconds[ours] / seconds[plain], 0.35),
        ("wall time, -n 4, to session fixtures without xdist", seconds[ours] / seconds["session fixtures"], 0.95),
        ("memory, -n 4, to session fixtures -n 4", memory[ours] / memory[plain], 0.4),
        ("kept host without xdist, to fakes", seconds["kept host"] / seconds["fakes"], 1.25),
        ("host without xdist, to session fixtures", seconds["model host"] / seconds["session fixtures"], 1.0),
    ]
    for label, ratio, limit in compared:
        print(f"{label:52} {ratio:5.2f}  limit {limit:4.2f}  {'kept' if ratio <= limit else 'EXCEEDED'}")
    return [ratio <= limit for _, ratio, limit in compared]


def peak_pss(command: list[str], environ: Mapping[str, str]) -> int:
    """Run a command, and return the largest sum of its processes' PSS in bytes."""
    process = subprocess.Popen(command, env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(pss, family(process.pid))))
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak


def family(root: int) -> list[int]:
    """Return a process and all its descendants."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def pss(pid: int) -> int:
    """Return a process's proportional set size in bytes, or 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
