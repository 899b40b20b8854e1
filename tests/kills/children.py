"""Runs of the command line in forked processes, which end by themselves or are killed."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHANGES = {"os.mkdir", "os.rmdir", "os.rename", "os.remove", "os.symlink", "os.link", "os.truncate", "os.chmod"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
HUNG = 1000


@dataclass(frozen=True)
class Child:
    """A run of the command line.

    Attributes:
        arguments: its arguments.
        folder: where it runs.
        variables: added to the environment.
        log: the file for what it says.
        after: it is killed so many seconds after its start; None for never.
        event: it is killed just before it changes the file system for the so-many-th time; None for never.
        delay: seconds between that moment and the kill.
    """

    arguments: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]
    log: Path
    after: float | None = None
    event: int | None = None
    delay: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, negative for a signal, HUNG if it had to be ended; seconds, changes, text."""

    code: int
    seconds: float
    events: int
    said: str


def run(child: Child, seconds: float) -> Ended:
    """Run it to its end, which comes within `seconds`, or else is `HUNG`."""
    child.log.touch()  # the kill may come before the child has opened it
    reading, writing = os.pipe()
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _become(child, writing)
    os.close(writing)
    watched = os.pidfd_open(process)
    try:
        limit = seconds if child.after is None else min(child.after, seconds)
        hung = False
        if not select.select([watched], [], [], limit)[0]:
            hung = child.after is None
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        counted = os.read(reading, 20)
    finally:
        os.close(watched)
        os.close(reading)
    code = HUNG if hung else os.waitstatus_to_exitcode(status)
    said = child.log.read_text(errors="replace")
    return Ended(code, time.monotonic() - started, int(counted or b"0"), said)


def _become(child: Child, writing: int) -> None:
    """Be that run, to the end of this process."""
    code = 70
    try:
        log = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(child.folder)
        os.environ.update(child.variables)
        sys.argv = ["modelenv", *child.arguments]
        counter = _Changes(child.log.parent, child.event, child.delay or 0.0)
        sys.addaudithook(counter.see)
        from modelenv.cli import main

        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(writing, str(counter.count).encode())
    except BaseException:  # noqa: BLE001 - nothing of this process may run on in the one that it was forked from
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


class _Changes:
    """Counts the changes to files below a folder, and kills this process at the one that was asked for."""

    def __init__(self, root: Path, deadly: int | None, delay: float) -> None:
        self.count = 0
        self._root = str(root)
        self._deadly = deadly
        self._delay = delay
        self._lock = threading.Lock()

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an event of the interpreter; it comes before what it announces."""
        if event != "open" and event not in _CHANGES:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
            return
        if not isinstance(arguments[0], str | os.PathLike) or not os.fspath(arguments[0]).startswith(self._root):
            return
        with self._lock:
            self.count += 1
            is_deadly = self.count == self._deadly
        if is_deadly and self._delay:
            threading.Thread(target=self._kill, daemon=True).start()
        elif is_deadly:
            self._kill()

    def _kill(self) -> None:
        time.sleep(self._delay)
        os.kill(os.getpid(), signal.SIGKILL)
