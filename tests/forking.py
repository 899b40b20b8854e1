"""Runs a function in a forked child of the test's process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

SECONDS = 120.0  # only a hang takes this long


def in_child(action: Callable[[], Any]) -> Any:
    """Run `action` in a forked child, and return its result."""
    here, there = multiprocessing.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if not child:
        try:
            there.send((True, action()))
        except BaseException:  # noqa: BLE001 - it is raised in the parent
            there.send((False, traceback.format_exc()))
        finally:
            os._exit(0)
    there.close()
    try:
        assert here.poll(SECONDS), "the child hangs"
        is_done, result = here.recv()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        here.close()
    assert is_done, result
    return result


@contextmanager
def held_elsewhere(held: AbstractContextManager[Any]) -> Iterator[None]:
    """Have another thread within `held` for a block."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with held:
            begun.set()
            assert over.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(SECONDS)
    try:
        yield
    finally:
        over.set()
        thread.join(SECONDS)
