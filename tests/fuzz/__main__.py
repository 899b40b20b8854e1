"""Reads randomly damaged texts, half of each format: `python -m tests.fuzz --count 1000000 --seed 1`."""

from __future__ import annotations

import argparse
import time
from random import Random

from .mutations import FORMATS, check, damage


def main() -> None:
    """Read the arguments, check the texts, and print a summary. The first problem ends the run and shows the text."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="the number of texts (default: a million)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same texts")
    arguments = parser.parse_args()
    for name, form in FORMATS.items():
        random = Random(f"{arguments.seed} {name}")
        accepted, slowest, start = 0, 0.0, time.perf_counter()
        for index in range(arguments.count // len(FORMATS)):
            content = damage(form.example, random)
            before = time.process_time()
            try:
                accepted += check(form, content)
            except BaseException:
                print(f"{name}, seed {arguments.seed}, text {index}:\n{content!r}", flush=True)
                raise
            slowest = max(slowest, time.process_time() - before)
        count, seconds = arguments.count // len(FORMATS), time.perf_counter() - start
        print(f"{name}: {count} texts in {seconds:.0f} s, {accepted} accepted, slowest {slowest * 1000:.0f} ms")


if __name__ == "__main__":
    main()
