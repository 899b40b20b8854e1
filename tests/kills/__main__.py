"""Kills the command line at random moments: `python -m tests.kills --count 500 --seed 1`.

Each kill is one of `pull`, `pull --to` and `lock`, in one of several states; half of them come at a random time of
the run, half at (or shortly after) a random change to the file system. Each is followed by a normal run. Ends with a
table, and with exit code 1 if anything loaded wrong bytes, could not be read, hung, or was not mended by that run.
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
    """One kill, and what came of it.

    Attributes:
        case: which.
        moment: when it was meant to hit, in words.
        share: how much of the run, or of its changes to the file system, should have been done by then.
        code: how the run ended.
        wrong: what was wrong.
        left: what was left lying.
    """

    case: str
    moment: str
    share: float
    code: int
    wrong: tuple[str, ...]
    left: tuple[str, ...]


def kill_once(bench: Bench, name: str, length: Ended, random: Random, number: int) -> Kill:
    """Run the case in new folders, kill it, look, run it again, and look again."""
    case = CASES[name]
    place = bench.lay_out(case, f"{number}", random)
    child, moment, share = _doomed(place.child(case.arguments), length, random, by_time=number // len(CASES) % 2 == 0)
    first = run(child, SECONDS)
    wrong = [] if first.code in (0, -SIGKILL) else [f"the run ended with {first.code}: {first.said[-500:]}"]
    wrong += [f"after the kill: {text}" for text in wrong_after_kill(bench, case, place)]
    second = run(place.child(case.arguments), SECONDS)
    if second.code == HUNG:
        wrong.append(f"the run after it hung: {second.said[-500:]}")
    elif second.code != 0:
        wrong.append(f"the run after it ended with {second.code}: {second.said[-500:]}")
    else:
        wrong += [f"after the run: {text}" for text in wrong_after_run(bench, case, place)]
    left = tuple(litter(place))
    if not wrong:
        shutil.rmtree(place.root)
    return Kill(name, moment, share, first.code, tuple(wrong), left)


def _doomed(child: Child, length: Ended, random: Random, *, by_time: bool) -> tuple[Child, str, float]:
    if by_time:
        after = random.uniform(0, length.seconds)
        return replace(child, after=after), f"after {after:.3f} s of {length.seconds:.3f} s", after / length.seconds
    event = random.randint(1, length.events)
    delay = random.choice([0.0, random.uniform(0, 0.005), random.uniform(0, 0.1)])
    moment = f"change {event} of {length.events}, {delay * 1000:.1f} ms later"
    return replace(child, event=event, delay=delay), moment, event / length.events


def unharmed(bench: Bench, case: Case, name: str) -> Ended:
    """Run the case without a kill, to know how long it takes and how often it changes the file system."""
    place = bench.lay_out(case, name, Random(0))
    ended = run(place.child(case.arguments), SECONDS)
    wrong = list(wrong_after_run(bench, case, place))
    if ended.code != 0 or wrong:
        raise AssertionError(f"{name} ended with {ended.code} without a kill: {wrong} {ended.said}")
    return ended


def hits_of(kills: list[Kill]) -> int:
    """Return how many kills hit a running process; the others came when it had ended, and do not count."""
    return sum(kill.code == -SIGKILL for kill in kills)


def table(kills: list[Kill]) -> str:
    """Return how many runs there were of each case, how many were killed before their end, and what came of them."""
    rows = [("case", "runs", "killed", "wrong")]
    for name in CASES:
        own = [kill for kill in kills if kill.case == name]
        rows.append((name, str(len(own)), str(hits_of(own)), str(sum(bool(kill.wrong) for kill in own))))
    total = [str(sum(int(row[column]) for row in rows[1:])) for column in (1, 2, 3)]
    rows.append(("all", *total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    """Read the arguments, kill, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="kills in all (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same moments")
    parser.add_argument("--seconds", type=float, default=3600, help="begin no kill after so long")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what went wrong")
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
            lengths = {name: unharmed(bench, case, f"unharmed {name}") for name, case in CASES.items()}
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
        print(f"left lying after the normal run, {count} times: {text}")
    print(f"{hits_of(kills)} of {arguments.count} kills in {time.monotonic() - started:.0f} s, seed {arguments.seed}")
    return int(any(kill.wrong for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
