"""Kills the command line at random moments: `python -m tests.kills --count 500 --seed 1`.

Each kill stops `pull`, `pull --to` or `lock`, starting from one of several states. Half of the kills happen at a
random time, and half at (or shortly after) a random change to the file system. A normal run follows each kill. Prints
a table, and ends with exit code 1 if wrong bytes were loaded, a file could not be read, or the normal run hung or did
not repair everything.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from signal import SIGKILL

from .bench import CASES, SECONDS, Bench, Case, made_bench
from .checks import litter, wrong_after_kill, wrong_after_run
from .children import HUNG, Child, Ended, run

_FOREIGN = ("HF_", "HUGGINGFACE_", "MODEL_", "PYTEST_", "TRANSFORMERS_", "GITHUB_ACTIONS", "TESTING", "ENVIRONMENT")


@dataclass(frozen=True)
class Kill:
    """The result of one kill.

    Attributes:
        case: The name of the case.
        moment: A description of the planned moment of the kill.
        share: The planned moment, as a share of the run's time or of its changes to the file system.
        code: The exit code of the run.
        wrong: The problems that were found.
        left: The temporary files that were left after the normal run.
    """

    case: str
    moment: str
    share: float
    code: int
    wrong: tuple[str, ...]
    left: tuple[str, ...]


def kill_once(bench: Bench, name: str, length: Ended, random: Random, number: int) -> Kill:
    """Run the case in new folders, kill it, check the result, run it again, and check again."""
    case = CASES[name]
    place = bench.lay_out(case, f"{number}", random)
    child, moment, share = _with_kill(
        place.child(case.arguments), length, random, by_time=number // len(CASES) % 2 == 0
    )
    first = run(child, SECONDS)
    wrong = [] if first.code in (0, -SIGKILL) else [f"the run ended with {first.code}: {first.output[-500:]}"]
    wrong += [f"after the kill: {text}" for text in wrong_after_kill(bench, case, place)]
    second = run(place.child(case.arguments), SECONDS)
    if second.code == HUNG:
        wrong.append(f"the run after it hung: {second.output[-500:]}")
    elif second.code != 0:
        wrong.append(f"the run after it ended with {second.code}: {second.output[-500:]}")
    else:
        wrong += [f"after the run: {text}" for text in wrong_after_run(bench, case, place)]
    left = tuple(litter(place))
    if not wrong:
        shutil.rmtree(place.root)
    return Kill(name, moment, share, first.code, tuple(wrong), left)


def _with_kill(child: Child, length: Ended, random: Random, *, by_time: bool) -> tuple[Child, str, float]:
    if by_time:
        after = random.uniform(0, length.seconds)
        return replace(child, after=after), f"after {after:.3f} s of {length.seconds:.3f} s", after / length.seconds
    event = random.randint(1, length.events)
    delay = random.choice([0.0, random.uniform(0, 0.005), random.uniform(0, 0.1)])
    moment = f"change {event} of {length.events}, {delay * 1000:.1f} ms later"
    return replace(child, event=event, delay=delay), moment, event / length.events


def without_kill(bench: Bench, case: Case, name: str) -> Ended:
    """Run the case without a kill, to measure its time and its number of changes to the file system."""
    place = bench.lay_out(case, name, Random(0))
    ended = run(place.child(case.arguments), SECONDS)
    wrong = list(wrong_after_run(bench, case, place))
    if ended.code != 0 or wrong:
        raise AssertionError(f"{name} ended with {ended.code} without a kill: {wrong} {ended.output}")
    return ended


def hits_of(kills: list[Kill]) -> int:
    """Return the number of kills that hit a running process. The others were too late, and do not count."""
    return sum(kill.code == -SIGKILL for kill in kills)


def table(kills: list[Kill]) -> str:
    """Return a table with the number of runs, of kills that hit, and of kills with problems for each case."""
    rows = [("case", "runs", "killed", "wrong")]
    for name in CASES:
        own = [kill for kill in kills if kill.case == name]
        rows.append((name, str(len(own)), str(hits_of(own)), str(sum(bool(kill.wrong) for kill in own))))
    total = [str(sum(int(row[column]) for row in rows[1:])) for column in (1, 2, 3)]
    rows.append(("all", *total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    """Read the arguments, run the kills, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="the number of kills (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same moments")
    parser.add_argument("--seconds", type=float, default=3600, help="start no kill after this time")
    parser.add_argument("--keep", action="store_true", help="keep the folders of kills with problems")
    arguments = parser.parse_args()
    for variable in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[variable]
    root = Path(tempfile.mkdtemp(prefix="modelenv-kills-")).resolve()
    os.environ.update(
        MODEL_SOURCE="local_cache", HF_HOME=str(root / "hf"), HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1"
    )
    started, kills = time.monotonic(), []
    try:
        with made_bench(root) as bench:
            lengths = {name: without_kill(bench, case, f"without a kill {name}") for name, case in CASES.items()}
            for number in itertools.count():
                if hits_of(kills) == arguments.count or time.monotonic() - started > arguments.seconds:
                    break
                name = list(CASES)[number % len(CASES)]
                random = Random(f"{arguments.seed} {number}")
                kill = kill_once(bench, name, lengths[name], random, number)
                kills.append(kill)
                for text in kill.wrong:
                    print(f"kill {number}, {kill.case}, {kill.moment}: {text}", flush=True)
    finally:
        if not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)
    print(table(kills))
    tenths = Counter(min(int(kill.share * 10), 9) for kill in kills if kill.code == -SIGKILL)
    print("kills by tenth of the run: " + " ".join(str(tenths[tenth]) for tenth in range(10)))
    left = Counter(text for kill in kills for text in kill.left)
    for text, count in left.most_common():
        print(f"left after the normal run, {count} times: {text}")
    print(f"{hits_of(kills)} of {arguments.count} kills in {time.monotonic() - started:.0f} s, seed {arguments.seed}")
    return int(any(kill.wrong for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
