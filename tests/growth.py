"""Measures how work grows with its input: the ratio of two sizes in one run, whatever the machine's speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Input = TypeVar("Input")

_ROUNDS = 5  # other programs and the garbage collector only make a round slower, so one good round is enough
_LEAST = 1e-3  # seconds; the clock cannot measure shorter work reliably
_SLACK = 3.0  # for caches and allocators; for an input 8 times as large, quadratic work is 64 times as much


def assert_linear(work: Callable[[Input], object], small: Input, large: Input, times: float) -> None:
    """Fail if the work for `large`, which is `times` as large as `small`, grows clearly faster than its input.

    Compares the CPU time of this thread, so time given to other programs does not count.
    """
    short = long = float("inf")
    for _ in range(_ROUNDS):
        short, long = min(short, _seconds(work, small)), min(long, _seconds(work, large))
        if long < max(short, _LEAST) * times * _SLACK:
            return
    raise AssertionError(f"{long / short:.1f} times the work for {times:g} times the input")


def _seconds(work: Callable[[Input], object], given: Input) -> float:
    before = time.thread_time()
    work(given)
    return time.thread_time() - before
