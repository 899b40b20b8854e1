from __future__ import annotations

import gc
import http.client
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError, ModelEnvError
from modelenv.hub import EmbeddedHub
from modelenv.hub.background import BackgroundServer, ServerThread
from modelenv.hub.http.app import HubApp
from modelenv.hub.repos import blobs
from modelenv.hub.repos.repositories import Repositories
from modelenv.hub.server import late

from ..waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_no_server() -> None:
    code = (
        "import sys, modelenv.hub; modelenv.hub.EmbeddedHub; modelenv.hub.serve; modelenv.hub.HubRequest;"
        "print(sorted({'starlette', 'uvicorn', 'anyio', 'asyncio', 'huggingface_hub', 'yaml'} & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_the_names_in_the_package() -> None:
    import modelenv.hub

    assert {"EmbeddedHub", "HubRequest", "RepositoryInfo", "serve"} <= set(dir(modelenv.hub))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        modelenv.hub.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
@pytest.mark.slow
def test_a_missing_extra_is_named(name: str) -> None:
    code = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from modelenv.hub import EmbeddedHub\n"
        "from modelenv.errors import ConfigurationError\n"
        "try: EmbeddedHub().start()\n"
        "except ConfigurationError as error: print(error)"
    )
    assert run(code, name).splitlines() == [
        "the embedded Hub needs the extra [hub]",
        f"  found: {name} is not installed",
        "  what to do: pip install 'modelenv[hub]'",
    ]


@pytest.mark.slow
def test_serving_imports_nothing_heavier_than_the_web_server() -> None:
    code = (
        "import sys; from modelenv.hub import EmbeddedHub\n"
        "with EmbeddedHub(): print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    imported = {name for name in run(code).split() if not name.startswith("_")}
    server = {
        "anyio",
        "click",
        "exceptiongroup",
        "h11",
        "idna",
        "sniffio",
        "starlette",
        "typing_extensions",
        "uvicorn",
    }
    assert imported <= {"modelenv", *server}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", ""])
def test_other_addresses_are_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="serves only this machine") as caught:
        EmbeddedHub(host=host)
    assert "expected: a loopback address" in str(caught.value)
    assert caught.value.found == repr(host)


def test_it_listens_on_loopback_only(hub: EmbeddedHub) -> None:
    assert hub.endpoint.startswith("http://127.0.0.1:")
    assert hub._server is not None
    assert hub._server._listeners[0].getsockname()[0] == "127.0.0.1"


def test_other_loopback_addresses() -> None:
    with EmbeddedHub(host="localhost") as hub:
        assert hub.endpoint.startswith("http://127.0.0.1:")


def test_loopback_of_ip_version_6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no ::1")
    with EmbeddedHub(host="::1") as hub, urllib.request.urlopen(f"{hub.endpoint}/api/models") as answer:
        assert answer.read() == b"[]"


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the folder to serve does not exist") as caught:
        EmbeddedHub(tmp_path / "nothing")
    assert caught.value.found == str(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="not a valid port\n  expected: 0 to 65535\n  found: 65536"):
        EmbeddedHub(port=65536)


def test_a_port_in_use(hub: EmbeddedHub) -> None:
    port = int(hub.endpoint.rsplit(":", 1)[1])
    with pytest.raises(ConfigurationError, match="the embedded Hub cannot listen on this port") as caught:
        EmbeddedHub(port=port).start()
    assert f"found: 127.0.0.1 port {port}: Address already in use" in str(caught.value)
    assert "choose another port; 0 picks a free one" in str(caught.value)


def test_start_and_stop() -> None:
    hub = EmbeddedHub()
    with pytest.raises(ConfigurationError, match="has no endpoint yet\n  what to do: start it: `with EmbeddedHub"):
        _ = hub.endpoint
    hub.stop()
    assert hub.start() is hub
    with pytest.raises(ConfigurationError, match="the embedded Hub is already running") as caught:
        hub.start()
    assert caught.value.found == hub.endpoint
    assert "what to do: stop it first" in str(caught.value)
    hub.stop()
    hub.stop()


def test_a_restarted_hub_keeps_its_endpoint(model: Path) -> None:
    hub = EmbeddedHub(model.parent.parent).start()
    endpoint = hub.endpoint
    hub.stop()
    assert hub.endpoint == endpoint
    with pytest.raises(urllib.error.URLError, match="Connection refused"):
        urllib.request.urlopen(f"{endpoint}/api/models", timeout=60)
    with hub, urllib.request.urlopen(f"{endpoint}/api/models/org/name", timeout=60) as answer:
        assert answer.status == 200
        assert hub.endpoint == endpoint


def test_a_stop_aborts_a_slow_download(hub: EmbeddedHub, caplog: pytest.LogCaptureFixture) -> None:
    hub.fail(bytes_per_second=100)
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=60)
    idle = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=60)
    idle.connect()
    connection.request("GET", "/org/name/resolve/main/vocab.txt")
    response = connection.getresponse()
    assert response.read(10)

    hub.stop()

    with pytest.raises(http.client.IncompleteRead):
        response.read()
    response.close()
    connection.close()
    idle.close()
    gc.collect()  # an abandoned transport would warn now
    assert "modelenv-hub" not in {thread.name for thread in threading.enumerate()}
    assert caplog.records == []


def test_a_client_that_does_not_read_does_not_delay_a_stop(hub: EmbeddedHub, model: Path) -> None:
    (model / "big.txt").write_bytes(bytes(9_000_000))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1])))
        client.sendall(b"GET /org/name/resolve/main/big.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_until(lambda: any(request.body_bytes for request in hub.requests))
        hub.stop()
    assert 0 < hub.requests[0].body_bytes < 9_000_000


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(
    hub: EmbeddedHub, model: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "_COPIED_BYTES", 1000)  # the Hub keeps no copies of larger files
    (model / "vocab.txt").write_bytes(bytes(3_000_000))  # the Hub reads it in pieces of 1 MiB
    trickle = hub.fail(bytes_per_second=20_000)
    with urllib.request.urlopen(f"{hub.endpoint}/org/name/resolve/main/vocab.txt", timeout=60) as response:
        response.read(10)
        os.truncate(model / "vocab.txt", 200)
        trickle.cancel()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    assert "ASGI callable returned without completing response" in caplog.text


def test_a_failed_start_is_reported_at_once() -> None:
    # The server cannot serve on a listener that is already closed.
    listener = socket.socket()
    listener.close()

    thread = ServerThread()
    server = BackgroundServer(HubApp(Repositories(None)), [listener], thread)
    assert not server.start(3600)  # returns long before the deadline
    assert server.stop(60)
    assert thread.stop(60)


def test_the_error_of_a_missed_deadline() -> None:
    error = late("stop", 10.0)
    assert type(error) is ModelEnvError
    assert str(error).splitlines() == [
        "the embedded Hub did not stop within 10 s",
        "  what to do: is this machine overloaded, or a file of a served folder on a disk that does not answer?",
    ]


def test_the_log_can_be_cleared_and_checked(hub: EmbeddedHub, ask) -> None:
    hub.assert_no_requests()
    for _ in range(22):
        ask("GET", "/api/models/org/name/refs")
    with pytest.raises(AssertionError) as caught:
        hub.assert_no_requests()
    lines = str(caught.value).splitlines()
    assert lines[0] == "expected no requests to the Hub, found 22:"
    assert lines[1].startswith("  GET /api/models/org/name/refs -> 200, ")
    assert lines[21:] == ["  and 2 more"]
    hub.clear()
    hub.assert_no_requests()


def test_add_while_running(hub: EmbeddedHub, ask, tmp_path: Path) -> None:
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "config.json").write_text("{}")
    info = hub.add(tmp_path / "single", "gpt2")
    assert ask("HEAD", "/gpt2/resolve/main/config.json").headers["x-repo-commit"] == info.commit


def peak_while_serving(folder: Path, size: int) -> int:
    """Serve a sparse file of this size in a process of its own, and return its peak memory in KB."""
    (folder / "m").mkdir(parents=True)
    with (folder / "m" / "model.safetensors").open("wb") as stream:
        stream.truncate(size)
    code = (
        "import resource, sys, pathlib, urllib.request; from modelenv.hub import EmbeddedHub\n"
        "with EmbeddedHub(pathlib.Path(sys.argv[1])) as hub:\n"
        "    with urllib.request.urlopen(hub.endpoint + '/m/resolve/main/model.safetensors') as answer:\n"
        "        count = sum(len(part) for part in iter(lambda: answer.read(1 << 16), b''))\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    count, kilobytes = run(code, str(folder)).split()
    assert int(count) == size
    return int(kilobytes)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    # The smaller file is large enough to be read in the largest pieces, and to be served without a copy.
    small = peak_while_serving(tmp_path / "small", 70_000_000)
    assert peak_while_serving(tmp_path / "large", 500_000_000) - small < 20_000
