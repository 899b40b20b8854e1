"""Ends the host: when the process that it watches ends, when it is idle for too long, or when it is stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.host.folder import HostFolder
from modelenv.host.processes import watcher
from modelenv.host.serving.server import Host

_POLL_SECONDS = 0.1
_ENDING_SECONDS = 5.0  # for the requests that are still running when the host is stopped
_LEAVING_SECONDS = 2.0  # for the workers of a run that was killed


@dataclass(frozen=True)
class Lifetime:
    """How long a host runs.

    Attributes:
        folder: The host's folder. If it or its socket is removed, the host ends.
        watch: The id of the process with which the host ends, or None.
        idle: The seconds without a request after which the host ends, or None.
        removes: Folders to remove if the watched process ends.
    """

    folder: HostFolder
    watch: int | None = None
    idle: float | None = None
    removes: tuple[Path, ...] = ()

    def wait(self, host: Host) -> None:
        """Wait until the host has to end, and remove what no client needs any more."""
        has_ended = self._watched_process_ended(host)
        self.folder.remove_socket()
        if has_ended:
            # The run's workers end too, and can write to these folders until then. No other process removes them.
            _wait_while(lambda: host.is_connected, _LEAVING_SECONDS)
            _remove((self.folder.path, *self.removes))
        elif host.stopping.is_set():
            _wait_while(lambda: host.is_answering, _ENDING_SECONDS)

    def _watched_process_ended(self, host: Host) -> bool:
        """Wait until the host has to end. Return whether the reason is that the watched process ended."""
        ended = watcher(self.watch)
        while not host.stopping.is_set():
            if ended(_POLL_SECONDS):
                return True
            if self.idle is not None and host.status().idle_seconds > self.idle:
                break
            if not (self.folder.socket.exists() and self.folder.path.exists()):
                break  # no client can find this host any more, and no other can start while it runs
        return False


def _wait_while(condition: Callable[[], bool], seconds: float) -> None:
    deadline = Deadline(seconds)
    while condition() and deadline.remaining:
        time.sleep(0.01)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
