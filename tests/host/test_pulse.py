"""A client waits for a host that computes for a long time, because the host greets other connections meanwhile."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, Listener
from pathlib import Path

import pytest

from modelenv import ModelHostError
from modelenv.deadlines import Deadline
from modelenv.host.messages import pulse, transport
from modelenv.host.messages.pulse import is_answered

from ..forking import SECONDS
from ..waiting import wait_until


@pytest.fixture
def address() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="modelenv-") as folder:
        yield Path(folder) / "socket"


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    """The worker's and the host's end of a connection."""
    ours, theirs = (Connection(each.detach()) for each in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LOOK_SECONDS", 0.01)


def test_a_client_waits_while_the_host_greets(
    address: Path, ends: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "processor_seconds", lambda pid: None)  # only greetings count
    ours, theirs = ends
    greeted: list[Connection] = []
    with Listener(str(address), family="AF_UNIX") as listener:

        def serve() -> None:
            for _ in range(5):
                greeted.append(listener.accept())
                transport.greet(greeted[-1])
            theirs.send_bytes(b"answer")

        thread = threading.Thread(target=serve)
        thread.start()
        assert is_answered(ours, address, "acme/model", Deadline(SECONDS))
        thread.join(SECONDS)
    assert len(greeted) == 5
    for each in greeted:
        each.close()


def test_a_client_gives_up_without_a_greeting(
    address: Path, ends: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(pulse, "processor_seconds", lambda pid: None)  # otherwise that of this process would count
    with pytest.raises(ModelHostError) as caught:
        is_answered(ends[0], address, "acme/model")
    assert str(caught.value).startswith(
        "acme/model: the model host does not answer\n"
        f"  found: no answer and no greeting for 0.1 s, from process {os.getpid()} in state "
    )


def test_a_host_that_uses_the_processor_is_not_lost(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can compute without releasing the GIL, so that no other of its threads can send a greeting."""
    used = [0.0]
    monkeypatch.setattr(pulse, "processor_seconds", lambda pid: used[0])
    watched = pulse._Pulse(address, os.getpid())
    for used[0] in (1.0, 2.0):
        watched._since -= 2 * transport.SILENT_SECONDS
        assert not watched.is_lost()
    watched._since -= 2 * transport.SILENT_SECONDS
    assert watched.is_lost()
    watched.close()


def test_the_deadline_ends_the_wait(address: Path, ends: tuple[Connection, Connection]) -> None:
    assert not is_answered(ends[0], address, "acme/model", Deadline(0.05))
    wait_until(lambda: not address.exists())
