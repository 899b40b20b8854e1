"""A host starts once, ends with whom it serves, survives nothing it should not, and is this user's alone."""

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
    """A busy machine may leave a host that imports torch without a core for a while."""
    monkeypatch.setattr(modelenv.host.client, "_ANSWER_SECONDS", 60.0)


def test_many_who_start_a_host_get_one(folder: HostFolder, recipe: Recipe) -> None:
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


def test_it_ends_with_the_process_it_watches(folder: HostFolder) -> None:
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


def test_it_ends_when_nobody_asks(folder: HostFolder) -> None:
    client = HostClient(folder, idle=5.0)
    around = folder.path.parent.stat().st_mode
    client.start()
    assert folder.path.parent.stat().st_mode == around  # a folder that is not ours stays as it is
    wait_until(lambda: client.status() is not None)
    idle: list[float] = []

    def has_ended() -> bool:
        status = client.status()  # who looks at it does not keep it
        idle.extend([] if status is None else [status.idle_seconds])
        return status is None

    wait_until(has_ended)
    assert idle == sorted(idle)
    assert idle[-1] > 1
    wait_until(lambda: not folder.socket.exists())
    assert client.stop() is None


def test_a_killed_host_fails_who_waits_and_is_replaced(folder: HostFolder, recipe: Recipe) -> None:
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
    assert str(caught.value).startswith("acme/sentiment: the model host ended while it was asked\n  found: ")
    wait_until(lambda: not Path(f"/proc/{status.pid}").exists())  # threads of a killed process may end after it
    assert hosted("Bitcoin price surge") == before  # it was dead when this was asked, so that another one answers
    again = client.status()
    assert again is not None
    assert again.pid != status.pid


def test_whoever_asks_while_hosts_are_killed_gets_an_answer_or_a_clear_error(
    folder: HostFolder, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at once again and again: what a dying host still holds, its socket and lock, deceives nobody."""
    monkeypatch.setattr(modelenv.host.client, "_STARTS", 10)  # all kills may hit the same one who asks
    client = HostClient(folder, watch=os.getpid())
    hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
    expected = hosted("Bitcoin price surge")
    over = threading.Event()

    def ask() -> list[str]:
        errors = []
        while not over.is_set():
            try:
                assert hosted("Bitcoin price surge") == expected
            except ModelHostError as error:
                errors.append(error.what)
        return errors

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for _ in range(5):
                wait_until(lambda: client.status() is not None)  # those who ask have started another
                status = client.status()
                assert status is not None
                os.kill(status.pid, signal.SIGKILL)
        finally:
            over.set()
        done = [future.result(200) for future in asking]
    assert {error for errors in done for error in errors} == {"the model host ended while it was asked"}
    assert hosted("Bitcoin price surge") == expected


def test_a_load_that_waits_too_long_for_a_host_says_so(folder: HostFolder, recipe: Recipe) -> None:
    with pytest.raises(ModelLoadTimeoutError, match="still waiting for the model host to start"):
        HostClient(folder, watch=os.getpid()).build(recipe, Deadline(0))


def test_folders_with_long_paths_have_their_sockets_elsewhere(tmp_path: Path, recipe: Recipe) -> None:
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


def test_a_host_whose_socket_was_removed_makes_room_for_another(folder: HostFolder, recipe: Recipe) -> None:
    client = HostClient(folder, idle=60)
    client.build(recipe, Deadline(200))
    status = client.status()
    assert status is not None
    folder.socket.unlink()
    wait_until(lambda: not is_running(status.pid))
    assert HostClient(folder, idle=60).build(recipe, Deadline(200)).fresh


def test_a_host_that_cannot_start_says_why(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ModelHostError) as caught:
        HostClient(HostFolder(tmp_path / "host")).build(recipe, Deadline(10))
    assert str(caught.value) == (
        "the model host did not start\n  found: it ended with 1: an empty log\n"
        "  what to do: run without it: --model-host=off"
    )


def test_a_host_that_is_stopped_answers_what_it_was_asked(folder: HostFolder, recipe: Recipe) -> None:
    client = HostClient(folder, watch=os.getpid())
    hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
    before = hosted("Bitcoin price surge")
    asked, stopped = threading.Event(), threading.Event()

    def texts() -> Iterator[str]:
        yield "Bitcoin price surge"
        asked.set()
        assert stopped.wait(60)
        yield "Bitcoin price surge"

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(lambda: list(hosted(texts())))
        assert asked.wait(60)
        status = client.stop()
        stopped.set()
        assert answers.result(60) == before * 2
    assert status is not None
    wait_until(lambda: not Path(f"/proc/{status.pid}").exists())
    assert hosted("Bitcoin price surge") == before  # by another one


def test_a_host_that_does_not_answer_is_told(
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
    assert str(caught.value) == "there is no model host any more: the run that it served has ended"


def test_a_socket_that_cannot_be_reached_is_told(folder: HostFolder, recipe: Recipe) -> None:
    folder.socket.symlink_to(folder.socket)
    with pytest.raises(ModelHostError) as caught:
        HostClient(folder).build(recipe, Deadline(10))
    assert str(caught.value) == (
        f"the model host cannot be reached\n  found: {folder.socket}: [Errno 40] Too many levels of symbolic links\n"
        "  what to do: run without it: --model-host=off"
    )
    folder.socket.unlink()


def test_a_host_started_by_hand_serves_and_is_the_only_one(folder: HostFolder, recipe: Recipe) -> None:
    command = [sys.executable, "-m", "modelenv.host", str(folder.path), "--watch", str(os.getpid())]
    with subprocess.Popen(command) as process:
        wait_until(lambda: HostClient(folder).status() is not None)
        assert subprocess.run(command, timeout=100, check=True).returncode == 0  # it found the other one
        assert HostClient(folder).start() is None
        assert HostClient(folder).build(recipe, Deadline(200)).fresh
        status = HostClient(folder).stop()
        assert status is not None
        assert status.pid == process.pid


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_another_user_is_hung_up_on(folder: HostFolder, nobody_runs_python: None) -> None:
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
