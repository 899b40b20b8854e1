"""Waiting for a host's answer, however long the host computes, and noticing a host that does nothing any more.

A host that is stopped (SIGSTOP, a frozen container, a debugger) keeps its connections open and never answers. So a
client that has heard nothing for a while connects a second time: a host that lives greets whoever connects, also
while it computes. Only one that neither answers, nor greets, nor uses the processor counts as stopped.
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
"""How long a client waits for an answer before it looks whether the host lives."""


def is_answered(connection: Connection, address: Path, model: str, deadline: Deadline | None = None) -> bool:
    """Wait for the host's next message, without an end if there is no deadline; False once the deadline passed.

    Args:
        connection: to the host.
        address: the host's socket.
        model: for errors.
        deadline: until when.

    Raises:
        ModelHostError: the host is stopped.
    """
    answer = select.poll()  # `Connection.poll` costs ten times as much, in each call
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
    """Return the error for a host that does nothing any more."""
    state = None if pid is None else state_of(pid)
    found = f"neither an answer nor a greeting for {transport.SILENT_SECONDS:g} s"
    if state is not None:
        found += f", from process {pid} in state {state}" + (" (stopped)" if state in "Tt" else "")
    name = "its process" if pid is None else str(pid)
    return ModelHostError(
        "the model host does not answer",
        model=model,
        found=found,
        hint=f"let it go on with `kill -CONT {name}` if it was stopped, or end it with `kill -KILL {name}`: "
        "the next question starts another; or run without it: --model-host=off",
    )


class _Pulse:
    """Connects to a host's socket again and again.

    Args:
        address: the socket.
        pid: the host's process, if the system tells it.
    """

    def __init__(self, address: Path, pid: int | None) -> None:
        self.pid = pid
        self._address = address
        self._knock: socket.socket | None = None
        self._begin()

    def is_lost(self) -> bool:
        """Look at the host; return whether it has shown no sign of life for too long."""
        if self._is_greeted() or self._used != self._processor_seconds():
            self.close()
            self._begin()
        return time.monotonic() - self._since > transport.SILENT_SECONDS

    def close(self) -> None:
        """Close the second connection."""
        if self._knock is not None:
            self._knock.close()
            self._knock = None

    def _begin(self) -> None:
        self._since, self._used = time.monotonic(), self._processor_seconds()
        knock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        knock.setblocking(False)
        try:
            knock.connect(str(self._address))
        except OSError:  # nobody listens, or too many others are waiting: then only its processor time counts
            knock.close()
        else:
            self._knock = knock

    def _is_greeted(self) -> bool:
        if self._knock is None:
            return False
        greeting = select.poll()
        greeting.register(self._knock, select.POLLIN)
        return bool(greeting.poll(0))

    def _processor_seconds(self) -> float | None:
        return None if self.pid is None else processor_seconds(self.pid)
