"""Kills the model host of test runs at random moments: `python -m tests.host.kills --count 100 --seed 1`.

Each run is `pytest -n 4 --real-models --model-host=run` with 200 tests of two models. Its hosts are killed some
seconds after their start, so that kills hit the start, the imports, the loads and the answers. A test must pass, or
fail because the host ended before it answered. Prints a table. The exit code is 1 if a test got a wrong result,
failed for another reason or is missing in the report, or if a run hung or left something behind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from signal import SIGKILL
from xml.etree import ElementTree

TESTS = 200
SECONDS = 300.0  # for one run; a run without kills takes about ten
KILLS_OF_A_RUN = 10
LATEST = 6.0  # seconds after the start of a host: by then it has imported, loaded, and answered for a while
ENDED = ("ModelHostError", "ended before it answered")
ENDS_WITHIN = 120.0  # some seconds on a quiet machine; only a process that never ends takes longer
_TEXTS = tuple(f"bitcoin price {word}" for word in ("surge", "crash", "rally", "report", "today"))
_TEST_FILE = """
import json
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())

@pytest.mark.parametrize("number", range({tests}))
def test_answers(model_manager, number):
    name = sorted(EXPECTED)[number % len(EXPECTED)]
    model = model_manager.load_model(name, "text-classification", top_k=None)
    for text, expected in EXPECTED[name].items():
        assert model(text)[0] == expected
        time.sleep(0.02)
    assert list(model(text for text in EXPECTED[name])) == list(EXPECTED[name].values())
"""


@dataclass(frozen=True)
class Run:
    """The outcome of one run.

    Attributes:
        kills: The number of hosts killed.
        passed: The number of tests that passed.
        ended: The number of tests that failed because the host ended before it answered.
        wrong: A description of each other failure.
        seconds: The duration of the run.
    """

    kills: int
    passed: int
    ended: int
    wrong: tuple[str, ...]
    seconds: float


def lay_out(root: Path) -> Path:
    """Make a project with two models, the tests, and the results of a pipeline of this process."""
    import torch
    from transformers import pipeline

    from modelenv.testing import tiny_model

    torch.set_num_threads(1)
    expected = {}
    for seed in range(2):
        folder = tiny_model("text-classification", root / "models" / "acme" / f"tiny-{seed}", seed=seed)
        classify = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)
        expected[f"acme/tiny-{seed}"] = {text: classify(text)[0] for text in _TEXTS}
    (root / "expected.json").write_text(json.dumps(expected))
    (root / "test_it.py").write_text(_TEST_FILE.format(tests=TESTS))
    (root / "pytest.ini").write_text("[pytest]\n")
    return root


def run_and_kill(project: Path, number: int, random: Random, kills: int, workers: int = 4) -> Run:
    """Run the tests, kill up to `kills` of their hosts, and check the report and what is left behind."""
    temporary = project / f"t{number}"
    temporary.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", str(workers), "-p", "no:randomly"]
    command += ["-p", "no:cacheprovider", "--real-models", "--model-host=run", "--model-source=local_cache"]
    command += [f"--model-cache-dir={project / 'models'}", f"--junit-xml={temporary / 'report.xml'}"]
    foreign = ("PYTEST_", "MODEL_", "HF_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    variables |= {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "MODEL_TIMEOUT": "200"}
    started = time.monotonic()
    with (temporary / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=project, env=variables, stdout=output, stderr=output)
        try:
            killed = _kill_hosts(process, temporary, random, kills)
            process.wait(max(1.0, SECONDS - (time.monotonic() - started)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return Run(kills, 0, 0, (f"the run hung: {(temporary / 'output').read_text()[-1000:]}",), SECONDS)
    passed, ended, wrong = _read_report(temporary, process.returncode)
    wrong += _left(temporary)
    if not wrong:
        shutil.rmtree(temporary)
    return Run(killed, passed, ended, tuple(wrong), time.monotonic() - started)


def _kill_hosts(process: subprocess.Popen[bytes], temporary: Path, random: Random, kills: int) -> int:
    """Kill one host after the other, each at a random moment of its life. Return how many were killed."""
    killed, seen, ends = 0, set(), time.monotonic() + SECONDS
    while killed < kills and process.poll() is None and time.monotonic() < ends:
        fresh = [pid for pid in processes_of(temporary) if pid not in seen]
        if not fresh:
            time.sleep(0.01)
            continue
        time.sleep(random.uniform(0, LATEST))
        if process.poll() is None:
            try:
                os.kill(fresh[0], SIGKILL)
            except ProcessLookupError:
                continue  # it ended with the run
            seen.add(fresh[0])
            killed += 1
    return killed


def processes_of(folder: Path, module: str = "modelenv.host") -> Iterator[int]:
    """Yield the ids of the module's processes that have the folder among their arguments."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                arguments = (path / "cmdline").read_text(errors="replace").split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if module in arguments and any(str(folder) in argument for argument in arguments):
                yield int(path.name)


def _read_report(temporary: Path, code: int) -> tuple[int, int, list[str]]:
    """Return how many tests passed, how many failed because a host ended, and a description of each other failure."""
    report = temporary / "report.xml"
    if not report.exists():
        return 0, 0, [f"the run ended with {code} and no report: {(temporary / 'output').read_text()[-1000:]}"]
    passed, ended, wrong = 0, 0, []
    cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        problems = [part for part in case if part.tag in ("failure", "error", "skipped")]
        if not problems:
            passed += 1
        elif all(sentence in (part.get("message") or "") for part in problems for sentence in ENDED):
            ended += 1
        else:
            wrong += [f"{case.get('name')}: {part.get('message')}" for part in problems]
    if len({case.get("name") for case in cases}) != TESTS or len(cases) != TESTS:
        wrong.append(f"the report has {len(cases)} tests, not {TESTS}")
    if code != int(ended > 0 or bool(wrong)):
        wrong.append(f"the run ended with {code}")
    return passed, ended, wrong


def _left(temporary: Path) -> list[str]:
    """Return what the run left behind: processes, and entries of its temporary folder other than its report."""
    ends = time.monotonic() + ENDS_WITHIN
    while True:
        left = [f"left behind: process {pid}" for pid in processes_of(temporary)]
        left += [f"left behind: {path.name}" for path in temporary.iterdir() if path.name.startswith("modelenv-")]
        if not left or time.monotonic() > ends:
            return left
        time.sleep(0.05)


def main() -> int:
    """Read the arguments, do the runs, and print the outcomes."""
    parser = argparse.ArgumentParser(prog="python -m tests.host.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="the number of kills (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="the seed for the moments of the kills")
    parser.add_argument("--seconds", type=float, default=3600, help="start no run after this time")
    arguments = parser.parse_args()
    runs: list[Run] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelenv-host-kills-") as folder:
        project = lay_out(Path(folder))
        print("run  kills  passed  failed: host ended  wrong  seconds")
        while (left := arguments.count - sum(run.kills for run in runs)) and (
            time.monotonic() - started < arguments.seconds
        ):
            random = Random(f"{arguments.seed} {len(runs)}")
            run = run_and_kill(project, len(runs), random, min(left, KILLS_OF_A_RUN))
            runs.append(run)
            counts = (len(runs), run.kills, run.passed, run.ended, len(run.wrong))
            print("{:3}  {:5}  {:6}  {:18}  {:5}  {:7.1f}".format(*counts, run.seconds), flush=True)
            for text in run.wrong[:5]:
                print(f"  {text[:300]}", flush=True)
    kills, tests = sum(run.kills for run in runs), TESTS * len(runs)
    print(f"{kills} of {arguments.count} kills in {len(runs)} runs of {TESTS} tests, seed {arguments.seed}: "
          f"{sum(run.passed for run in runs)} of {tests} tests passed, "
          f"{sum(run.ended for run in runs)} failed because the host ended, {sum(bool(run.wrong) for run in runs)} "
          f"runs were wrong; {time.monotonic() - started:.0f} s")  # fmt: skip
    return int(kills < arguments.count or any(run.wrong for run in runs))


if __name__ == "__main__":
    sys.exit(main())
