"""Waits for a host's answer for as long as the host computes, and detects a host that is stopped.

A host that is stopped (SIGSTOP, a frozen container, a debugger) keeps its connections open and never answers. So a
client that has received nothing for a while connects a second time. A running host greets each connection, also while
it computes. A host counts as stopped only if it sends no answer and no greeting, and does not use the processor.
"""

from __future__ import annotations

import select
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.errors import ModelHostError
from modelenv.host.messages import transport
from modelenv.host.processes import processor_seconds, state_of

LOOK_SECONDS = 5.0
"""How long a client waits for an answer before it checks whether the host is running."""


def is_answered(connection: Connection, address: Path, model: str, deadline: Deadline | None = None) -> bool:
    """Wait for the host's next message. Returns False if the deadline passes.

    Args:
        connection: The connection to the host.
        address: The host's socket.
        model: The model's name, for errors.
        deadline: The end of the wait. None: wait for as long as the host is running.

    Raises:
        ModelHostError: The host is stopped.
    """
    answer = select.poll()  # ten times as fast as `Connection.poll`, in each call
    answer.register(connection.fileno(), select.POLLIN)
    pulse: _Pulse | None = None
    try:
        while True:
            seconds = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline.patience)
            if answer.poll(1000 * seconds):
                return True
            if deadline is not None and not deadline.remaining:
                return False
            pulse = pulse or _Pulse(address, transport.peer_pid(connection))
            if pulse.is_lost():
                raise stopped(model, pulse.pid)
    finally:
        if pulse is not None:
            pulse.close()


def stopped(model: str, pid: int | None) -> ModelHostError:
    """Return the error for a host that does not respond."""
    state = None if pid is None else state_of(pid)
    found = f"no answer and no greeting for {transport.SILENT_SECONDS:g} s"
    if state is not None:
        found += f", from process {pid} in state {state}" + (" (stopped)" if state in "Tt" else "")
    name = "its process" if pid is None else str(pid)
    return ModelHostError(
        "the model host does not answer",
        model=model,
        found=found,
        hint=f"resume it with `kill -CONT {name}` if it was stopped, or end it with `kill -KILL {name}`: "
        "the next request starts a new host; or run without the host: --model-host=off",
    )


class _Pulse:
    """Checks whether a host is running, by connecting to its socket repeatedly.

    Args:
        address: The host's socket.
        pid: The id of the host's process, if the system reports it.
    """

    def __init__(self, address: Path, pid: int | None) -> None:
        self.pid = pid
        self._address = address
        self._probe: socket.socket | None = None
        self._begin()

    def is_lost(self) -> bool:
        """Check the host. Returns whether it has shown no sign of life for too long."""
        if self._is_greeted() or self._used != self._processor_seconds():
            self.close()
            self._begin()
        return time.monotonic() - self._since > transport.SILENT_SECONDS

    def close(self) -> None:
        """Close the second connection."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _begin(self) -> None:
        self._since, self._used = time.monotonic(), self._processor_seconds()
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        probe.setblocking(False)
        try:
            probe.connect(str(self._address))
        except OSError:  # it does not listen, or too many clients are waiting: only its processor time counts
            probe.close()
        else:
            self._probe = probe

    def _is_greeted(self) -> bool:
        if self._probe is None:
            return False
        greeting = select.poll()
        greeting.register(self._probe, select.POLLIN)
        return bool(greeting.poll(0))

    def _processor_seconds(self) -> float | None:
        return None if self.pid is None else processor_seconds(self.pid)
