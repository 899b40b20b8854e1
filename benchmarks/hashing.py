"""The speed of hashing files on all cores: at least 90 % of `hashlib` on as many cores.

`hashlib` is measured twice: with bytes already in memory, and with files (`hashlib.file_digest`), whose bytes must be
copied first. Ratios are given for the medians and for the fastest runs: on a shared machine, only the fastest runs
show the cost of the code.

    python benchmarks/hashing.py [megabytes] [runs]
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelenv.files.hashing import cores, hash_files


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds that the call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main(megabytes: int = 91, runs: int = 20) -> None:
    """Hash one file per core with each method."""
    threads = cores()
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{number}.safetensors" for number in range(threads)]
        content = bytes(range(256)) * (megabytes * 10**6 // 256)
        for path in files:
            path.write_bytes(content)
        ways = {
            "hashlib.sha256, bytes in memory": lambda: digest_all([content] * threads),
            "hashlib.file_digest": lambda: file_digest_all(files),
            "modelenv": lambda: hash_files(files),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(runs + 1):  # in turn, so that the machine's load meets all; the first is not counted
            for way, action in ways.items():
                one = seconds(action)
                if turn:
                    taken[way].append(one)
    print(f"{threads} files of {megabytes} MB on {threads} cores, {runs} runs in turn")
    for way, times in taken.items():
        speed = threads * len(content) / statistics.median(times) / 1e6
        ratio = statistics.median(times) / statistics.median(taken["modelenv"])
        fastest = min(times) / min(taken["modelenv"])
        print(f"{way:32} {speed:6.0f} MB/s  modelenv is {ratio:.2f} of it, {fastest:.2f} in the fastest runs")


def digest_all(contents: list[bytes]) -> None:
    """Hash bytes in memory."""
    with ThreadPoolExecutor(len(contents)) as pool:
        list(pool.map(lambda content: hashlib.sha256(content).digest(), contents))


def file_digest_all(files: list[Path]) -> None:
    """Hash files with the standard library."""

    def digest(path: Path) -> bytes:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(digest, files))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
