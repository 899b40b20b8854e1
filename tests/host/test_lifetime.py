"""A host starts once, ends with the process that it watches, is replaced if killed, and serves only its user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import modelenv.host.client
from modelenv import ModelHostError, ModelLoadTimeoutError
from modelenv.deadlines import Deadline
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.messages.protocol import Recipe
from modelenv.host.proxy import HostedPipeline

from ..waiting import is_running, state_of, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def folder() -> Iterator[HostFolder]:
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as path:
        folder = HostFolder(Path(path))
        yield folder
        HostClient(folder).stop()
        wait_until(lambda: HostClient(folder).status() is None)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, a host that imports torch can be without a core for a while."""
    monkeypatch.setattr(modelenv.host.client, "_ANSWER_SECONDS", 60.0)


def test_many_clients_start_one_host(folder: HostFolder, recipe: Recipe) -> None:
    clients = [HostClient(folder, watch=os.getpid()) for _ in range(6)]
    for client in clients[:3]:
        client.start()
    with ThreadPoolExecutor(6) as pool:
        built = list(pool.map(lambda client: client.build(recipe, Deadline(200)), clients))
    assert sum(one.fresh for one in built) == 1
    status = clients[0].status()
    assert status is not None
    assert status.models == ("acme/sentiment (text-classification)",)
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_host_ends_with_the_process_it_watches(folder: HostFolder) -> None:
    watched = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    client = HostClient(folder, watch=watched.pid)
    client.start()
    wait_until(lambda: client.status() is not None)
    status = client.status()
    assert status is not None
    watched.kill()
    watched.wait(60)
    wait_until(lambda: not is_running(status.pid))
    assert not folder.socket.exists()


def test_a_host_ends_when_it_is_idle(folder: HostFolder) -> None:
    client = HostClient(folder, idle=5.0)
    around = folder.path.parent.stat().st_mode
    client.start()
    assert folder.path.parent.stat().st_mode == around  # a folder that is not ours is not changed
    wait_until(lambda: client.status() is not None)
    idle: list[float] = []

    def has_ended() -> bool:
        status = client.status()  # does not count as a request
        idle.extend([] if status is None else [status.idle_seconds])
        return status is None

    wait_until(has_ended)
    assert idle == sorted(idle)
    assert idle[-1] > 1
    wait_until(lambda: not folder.socket.exists())
    assert client.stop() is None


def test_waiting_calls_fail_if_the_host_is_killed_and_the_next_call_starts_another(
    folder: HostFolder, recipe: Recipe
) -> None:
    client = HostClient(folder, watch=os.getpid())
    hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
    before = hosted("Bitcoin price surge")
    status = client.status()
    assert status is not None

    def texts() -> Iterator[str]:
        yield "one"
        os.kill(status.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(status.pid))
        yield "two"

    with pytest.raises(ModelHostError) as caught:
        list(hosted(texts()))
    what, _, hint = str(caught.value).splitlines()
    assert what == "acme/sentiment: the model host ended before it answered"
    assert hint == (
        "  what to do: the next request starts a new host; if it ran out of memory, run fewer models at once or use "
        "--model-host=off"
    )
    wait_until(lambda: not Path(f"/proc/{status.pid}").exists())  # threads of a killed process can end after it
    assert hosted("Bitcoin price surge") == before  # the host has ended before this call, so another one answers
    again = client.status()
    assert again is not None
    assert again.pid != status.pid


def test_calls_while_hosts_are_killed_get_a_result_or_a_clear_error(
    folder: HostFolder, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts are killed repeatedly. The socket and the lock that a dying host still holds mislead no client."""
    monkeypatch.setattr(modelenv.host.client, "_STARTS", 10)  # all kills can hit the same client
    client = HostClient(folder, watch=os.getpid())
    hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
    expected = hosted("Bitcoin price surge")
    over = threading.Event()

    def call() -> list[str]:
        errors = []
        while not over.is_set():
            try:
                assert hosted("Bitcoin price surge") == expected
            except ModelHostError as error:
                errors.append(error.what)
        return errors

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call) for _ in range(4)]
        try:
            for _ in range(5):
                wait_until(lambda: client.status() is not None)  # a call has started another host
                status = client.status()
                assert status is not None
                os.kill(status.pid, signal.SIGKILL)
        finally:
            over.set()
        done = [future.result(200) for future in calls]
    assert {error for errors in done for error in errors} == {"the model host ended before it answered"}
    assert hosted("Bitcoin price surge") == expected


def test_the_timeout_of_a_load_names_the_wait_for_the_host(folder: HostFolder, recipe: Recipe) -> None:
    with pytest.raises(ModelLoadTimeoutError, match="still waiting for the model host to start"):
        HostClient(folder, watch=os.getpid()).build(recipe, Deadline(0))


def test_the_socket_of_a_folder_with_a_long_path_is_in_another_folder(tmp_path: Path, recipe: Recipe) -> None:
    folders = [HostFolder(tmp_path / (name * 30)) for name in ("long", "path")]
    ended, other = (HostClient(folder, watch=os.getpid()) for folder in folders)
    for client in (ended, other):
        client.start()
    for client, folder in zip((ended, other), folders, strict=True):
        assert client.build(recipe, Deadline(200)).fresh
        assert folder.socket.parent.stat().st_mode & 0o777 == 0o700
    assert ended.stop() is not None
    wait_until(lambda: not folders[0].socket.exists())
    assert other.status() is not None
    assert other.stop() is not None
    wait_until(lambda: not folders[1].socket.exists())


def test_a_host_whose_socket_was_removed_ends_and_another_can_start(folder: HostFolder, recipe: Recipe) -> None:
    client = HostClient(folder, idle=60)
    client.build(recipe, Deadline(200))
    status = client.status()
    assert status is not None
    folder.socket.unlink()
    wait_until(lambda: not is_running(status.pid))
    assert HostClient(folder, idle=60).build(recipe, Deadline(200)).fresh


def test_the_error_shows_why_a_host_did_not_start(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ModelHostError) as caught:
        HostClient(HostFolder(tmp_path / "host")).build(recipe, Deadline(10))
    assert str(caught.value) == (
        "the model host did not start\n  found: it ended with 1: an empty log\n"
        "  what to do: run without it: --model-host=off"
    )


def test_a_host_that_is_stopped_finishes_its_current_calls(folder: HostFolder, recipe: Recipe) -> None:
    client = HostClient(folder, watch=os.getpid())
    hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
    before = hosted("Bitcoin price surge")
    started, stopped = threading.Event(), threading.Event()

    def texts() -> Iterator[str]:
        yield "Bitcoin price surge"
        started.set()
        assert stopped.wait(60)
        yield "Bitcoin price surge"

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(lambda: list(hosted(texts())))
        assert started.wait(60)
        status = client.stop()
        stopped.set()
        assert answers.result(60) == before * 2
    assert status is not None
    wait_until(lambda: not Path(f"/proc/{status.pid}").exists())
    assert hosted("Bitcoin price surge") == before  # from another host


def test_a_host_that_does_not_answer_is_an_error(
    folder: HostFolder, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = HostClient(folder, watch=os.getpid())
    client.build(recipe, Deadline(200))
    status = HostClient(folder).status()
    assert status is not None
    os.kill(status.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state_of(status.pid) == "T")
        monkeypatch.setattr(modelenv.host.client, "_ANSWER_SECONDS", 0.5)
        with pytest.raises(ModelHostError, match=r"^the model host does not answer\n  found: "):
            HostClient(folder).status()
    finally:
        os.kill(status.pid, signal.SIGCONT)
        monkeypatch.undo()


def test_no_host_is_started_for_a_run_that_has_ended(folder: HostFolder, recipe: Recipe) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    with pytest.raises(ModelHostError) as caught:
        HostClient(folder, watch=ended.pid).build(recipe, Deadline(10))
    assert str(caught.value) == "the model host is not started again, because the test run has ended"


def test_a_socket_that_cannot_be_reached_is_an_error(folder: HostFolder, recipe: Recipe) -> None:
    folder.socket.symlink_to(folder.socket)
    with pytest.raises(ModelHostError) as caught:
        HostClient(folder).build(recipe, Deadline(10))
    assert str(caught.value) == (
        f"the model host cannot be reached\n  found: {folder.socket}: [Errno 40] Too many levels of symbolic links\n"
        "  what to do: run without it: --model-host=off"
    )
    folder.socket.unlink()


def test_a_host_can_be_started_by_hand(folder: HostFolder, recipe: Recipe) -> None:
    command = [sys.executable, "-m", "modelenv.host", str(folder.path), "--watch", str(os.getpid())]
    with subprocess.Popen(command) as process:
        wait_until(lambda: HostClient(folder).status() is not None)
        assert subprocess.run(command, timeout=100, check=True).returncode == 0  # it has found the running host
        assert HostClient(folder).start() is None
        assert HostClient(folder).build(recipe, Deadline(200)).fresh
        status = HostClient(folder).stop()
        assert status is not None
        assert status.pid == process.pid


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_the_connection_of_another_user_is_closed(folder: HostFolder, nobody_runs_python: None) -> None:
    client = HostClient(folder, watch=os.getpid())
    client.start()
    wait_until(lambda: client.status() is not None)
    folder.path.chmod(0o777)
    folder.socket.chmod(0o777)
    script = (
        "import os, sys; from multiprocessing.connection import Client\n"
        "os.setuid(65534)\n"
        "connection = Client(sys.argv[1], family='AF_UNIX')\n"
        "try:\n    connection.send_bytes(b'anything')\n    connection.recv_bytes()\n"
        "except (EOFError, ConnectionError):\n    print('hung up')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder.socket)], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout == "hung up\n"
