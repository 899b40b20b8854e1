"""Runs the command line in forked processes, which end normally or are killed."""

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
        arguments: The arguments of the command line.
        folder: The working folder.
        variables: Additional environment variables.
        log: The file for the output.
        after: The seconds after which the run is killed, or None.
        event: The number of the change to the file system before which the run is killed, or None.
        delay: The seconds between that change and the kill.
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
    """The end of a run.

    Attributes:
        code: The exit code; negative for a signal, and `HUNG` if the run did not end in time.
        seconds: The time of the run.
        events: The number of changes to the file system.
        output: The output.
    """

    code: int
    seconds: float
    events: int
    output: str


def run(child: Child, seconds: float) -> Ended:
    """Run the child until it ends or is killed, or until `seconds` have passed (`HUNG`)."""
    child.log.touch()  # the kill can happen before the child has opened it
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
    output = child.log.read_text(errors="replace")
    return Ended(code, time.monotonic() - started, int(counted or b"0"), output)


def _become(child: Child, writing: int) -> None:
    """Run the command line in this process, and end the process."""
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
    except BaseException:  # noqa: BLE001 - a forked process must never continue in the code of its parent
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


class _Changes:
    """Counts the changes to files below a folder, and kills this process at the change with a given number."""

    def __init__(self, root: Path, deadly: int | None, delay: float) -> None:
        self.count = 0
        self._root = str(root)
        self._deadly = deadly
        self._delay = delay
        self._lock = threading.Lock()

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Handle an audit event. The interpreter raises it before the change."""
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
