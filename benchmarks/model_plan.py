"""500 tests with 20 tiny models, shuffled, with `-n 4`: python benchmarks/model_plan.py [RUNS].

Prints how often the model host loaded a model, and the time of the whole run compared with the best possible time. No
run can be faster than its tests with fakes, than one process that loads the 20 models and makes the 500 calls, or
than the CPU time of both on all cores. Each process has one thread: so small a model does not benefit from a second
one, which would spin on a core that the tests need.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from example_project import PYTEST, variables

MODELS, TESTS, WORKERS = 20, 500, 4
LIMIT = 1.2
TASK = "text-classification"

REAL = """
@pytest.mark.integration
@pytest.mark.model("acme/model-{model}", "text-classification")
def test_{number}(model):
    assert 0 < model("text {number}")[0]["score"] <= 1
"""
FAKE = REAL.replace("@pytest.mark.integration\n", "")
ALONE = """
import sys
from pathlib import Path
from transformers import pipeline

root, models, calls = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(models):
    model = pipeline("text-classification", str(root / f"acme/model-{number}"))
    for call in range(calls // models):
        model(f"text {call}")
"""


@dataclass(frozen=True)
class Taken:
    """The seconds of a command: wall time, and CPU time including its child processes."""

    wall: float
    processor: float


def main() -> int:
    """Print the loads, the times and their ratio. Returns 1 if a limit is exceeded."""
    from modelenv.testing import tiny_model

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for number in range(MODELS):
            tiny_model(TASK, work / "models" / "acme" / f"model-{number}", seed=number)
        write_suites(work)
        environ = {**variables("http://127.0.0.1:9", work / "cache"), "TMPDIR": name, "OMP_NUM_THREADS": "1"}
        source = ["--real-models", "--model-source=local_cache", f"--model-cache-dir={work / 'models'}"]
        parallel = [*PYTEST, "-n", str(WORKERS)]
        commands = {
            "planned": [*parallel, *source, str(work / "real")],
            "fakes": [*parallel, str(work / "fake")],
            "alone": [sys.executable, "-c", ALONE, str(work / "models"), str(MODELS), str(TESTS)],
        }
        taken: dict[str, list[Taken]] = {name: [] for name in commands}
        for turn in range(runs + 1):
            for label, command in commands.items():
                found = measure(command, work, environ)
                if turn:
                    taken[label].append(found)
        loads = count_loads([*commands["planned"], "--model-host=keep"], work, environ)
    return report(taken, loads, runs)


def write_suites(work: Path) -> None:
    """Write the tests, with real models and with fakes, in an order in which the model changes from test to test."""
    order = [number % MODELS for number in range(TESTS)]
    random.Random(0).shuffle(order)
    for folder, test in (("real", REAL), ("fake", FAKE)):
        (work / folder).mkdir()
        (work / folder / "pytest.ini").write_text("[pytest]\n")
        tests = "".join(test.format(model=model, number=number) for number, model in enumerate(order))
        (work / folder / "test_models.py").write_text("import pytest\n" + tests)


def measure(command: list[str], work: Path, environ: Mapping[str, str]) -> Taken:
    """Run a command to its end."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=work, env=dict(environ), capture_output=True, text=True, timeout=300, check=False
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        done.check_returncode()
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def count_loads(command: list[str], work: Path, environ: Mapping[str, str]) -> int:
    """Run once with a kept host, get the number of models that it loaded, and stop it."""
    script = "from modelenv.host.kept_hosts import kept_hosts; print(*(status.loads for _, status in kept_hosts()))"
    measure(command, work, environ)
    done = subprocess.run(
        [sys.executable, "-c", script], env=dict(environ), capture_output=True, text=True, timeout=60, check=True
    )
    measure([sys.executable, "-m", "modelenv", "host", "stop"], work, environ)
    return int(done.stdout)


def report(taken: Mapping[str, list[Taken]], loads: int, runs: int) -> int:
    """Print the medians, the best possible time, and the ratio."""
    wall = {name: statistics.median(each.wall for each in found) for name, found in taken.items()}
    processor = {name: statistics.median(each.processor for each in found) for name, found in taken.items()}
    cores = len(os.sched_getaffinity(0))
    both = (processor["fakes"] + processor["alone"]) / cores
    best = max(wall["fakes"], wall["alone"], both)
    ratio = wall["planned"] / best
    print(f"{TESTS} tests over {MODELS} models, -n {WORKERS}, {cores} cores: {loads} loads")
    print(f"the same tests with fakes              {wall['fakes']:6.2f} s")
    print(f"loads and calls alone, in one process  {wall['alone']:6.2f} s")
    print(f"processor time of both on all cores    {both:6.2f} s")
    print(f"the planned run                        {wall['planned']:6.2f} s, {ratio:.2f} x the best possible")
    kept = loads == MODELS and ratio <= LIMIT
    print(f"medians of {runs} runs in turn; limit: {MODELS} loads and {LIMIT} x: {'kept' if kept else 'EXCEEDED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
