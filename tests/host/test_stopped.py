"""No client waits forever for a host that is stopped, and the host answers again when it is resumed."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv import ModelHostError, ModelLoadTimeoutError
from modelenv.deadlines import Deadline
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.messages import pulse, transport
from modelenv.host.messages.protocol import Recipe
from modelenv.host.proxy import HostedPipeline

from ..waiting import state_of, wait_until

pytestmark = pytest.mark.integration

TEXT = "Bitcoin price surge"


@pytest.fixture
def client() -> Iterator[HostClient]:
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as path:
        client = HostClient(HostFolder(Path(path)), watch=os.getpid())
        yield client
        client.stop()
        wait_until(lambda: client.status() is None)


@pytest.fixture
def hosted(client: HostClient, recipe: Recipe) -> HostedPipeline:
    return HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)


@contextmanager
def stopped(client: HostClient) -> Iterator[int]:
    """Context manager: stop the client's host, and return the id of its process."""
    status = client.status()
    assert status is not None
    os.kill(status.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state_of(status.pid) == "T")
        yield status.pid
    finally:
        os.kill(status.pid, signal.SIGCONT)


@contextmanager
def impatient() -> Iterator[None]:
    """Context manager: clients of this process give up after a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulse, "LOOK_SECONDS", 0.1)
        patch.setattr(transport, "SILENT_SECONDS", 1.0)
        yield


def message(pid: int) -> str:
    return (
        "acme/sentiment: the model host does not answer\n"
        f"  found: no answer and no greeting for 1 s, from process {pid} in state T (stopped)\n"
        f"  what to do: resume it with `kill -CONT {pid}` if it was stopped, or end it with `kill -KILL {pid}`: "
        "the next request starts a new host; or run without the host: --model-host=off"
    )


def test_a_call_ends_with_an_error(client: HostClient, hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    with stopped(client) as pid, impatient(), pytest.raises(ModelHostError) as caught:
        hosted(TEXT)
    assert str(caught.value) == message(pid)
    assert hosted(TEXT) == before


def test_a_call_that_the_host_does_not_read_ends_with_an_error(client: HostClient, hosted: HostedPipeline) -> None:
    with impatient():
        before = hosted(TEXT)  # the connection that is made here has the shorter timeout
        with stopped(client) as pid, pytest.raises(ModelHostError) as caught:
            hosted(TEXT * 1_000_000)
    assert str(caught.value) == message(pid)
    assert hosted(TEXT) == before


def test_a_load_ends_at_its_deadline(client: HostClient, hosted: HostedPipeline, recipe: Recipe) -> None:
    hosted(TEXT)
    other = replace(recipe, model="acme/other")
    with stopped(client), pytest.raises(ModelLoadTimeoutError) as caught:
        client.build(other, Deadline(0.1))
    what, found, hint = str(caught.value).splitlines()
    assert what == "acme/other: not loaded within 0.1 s"
    assert found.startswith("  found: still waiting for the model host to load it; so far ")
    assert found.endswith(" s waiting for the model host to load it")
    assert hint.startswith("  what to do: give it more time with MODEL_TIMEOUT=<seconds>")
    client.build(other, Deadline(200))
    status = client.status()
    assert status is not None
    assert "acme/other (text-classification)" in status.models
