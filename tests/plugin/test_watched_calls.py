"""Watched requests: each library behaves as without us, and requests, bytes and seconds are counted once."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2
import pytest

from pytest_modelenv.guards.import_watch import WATCHED as NAMES
from pytest_modelenv.guards.watched_calls import WATCHED, watch_module
from pytest_modelenv.guards.watching import HubWatch
from pytest_modelenv.startup import ENDPOINT, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = bytes(range(256)) * 1000
SECONDS = 60


class Handler(http.server.BaseHTTPRequestHandler):
    """A Hub that answers in every way that HTTP allows."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        if name == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 100_000):
                piece = BODY[start : start + 100_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_response({"moved": 302, "missing": 404}.get(name, 200))
        if name == "moved":
            self.send_header("Location", f"http://127.0.0.1:{self.server.elsewhere}/files/a%20b?signature=1")  # type: ignore[attr-defined]
        if name == "until_closed":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", "0" if name == "moved" else str(len(BODY)))
        self.end_headers()
        if name != "moved" and self.command == "GET":
            self.wfile.write(BODY[:1000] if name == "truncated" else BODY)
        self.close_connection = name in ("until_closed", "truncated")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server expects

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Prints nothing about clients that close a connection early."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(elsewhere: int = 0) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Handler)
    server.elsewhere = elsewhere  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(SECONDS)
        server.server_close()


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """The endpoint of a Hub that redirects to a server elsewhere."""
    with served() as elsewhere, served(int(elsewhere.rpartition(":")[2])) as endpoint:
        yield endpoint


def watch_of(endpoint: str, nodeid: str = "test_it") -> HubWatch:
    stash = pytest.Stash()
    stash[ENDPOINT] = endpoint
    stash[RUNNING] = SimpleNamespace(nodeid=nodeid)  # type: ignore[assignment]
    return HubWatch(SimpleNamespace(stash=stash))  # type: ignore[arg-type]


@contextmanager
def watching(watch: HubWatch) -> Iterator[None]:
    patches = [each for name in WATCHED if name in sys.modules for each in watch_module(name, watch)]
    try:
        yield
    finally:
        for each in reversed(patches):
            each.undo()


@pytest.fixture
def watch(hub: str) -> Iterator[HubWatch]:
    import requests  # noqa: F401 - watched too

    found = watch_of(hub)
    with watching(found):
        yield found


def counted(watch: HubWatch) -> tuple[int, int]:
    """Return the requests and the bytes since the last call. Their seconds are positive."""
    facts = watch.take()
    if not facts:
        return 0, 0
    (fact,) = facts
    assert (fact["kind"], fact["name"], fact["transfers"]) == ("test", "test_it", 0)
    assert fact["seconds"] > 0
    return fact["requests"], fact["bytes"]


def test_all_watched_modules_are_known() -> None:
    assert set(WATCHED) == set(NAMES)


@pytest.mark.parametrize("name", ["whole", "chunked", "until_closed"])
def test_each_client_reads_what_it_reads_without_us(hub: str, watch: HubWatch, name: str) -> None:
    import requests

    url = f"{hub}/acme/crypto/resolve/main/{name}"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        assert answer.read() == BODY
    assert counted(watch) == (1, len(BODY))
    assert requests.get(url, timeout=SECONDS).content == BODY
    assert counted(watch) == (1, len(BODY))
    assert httpx2.get(url, timeout=SECONDS).content == BODY
    assert counted(watch) == (1, len(BODY))
    with httpcore2.ConnectionPool() as pool:
        assert pool.request("GET", url).content == BODY
    assert counted(watch) == (1, len(BODY))
    assert httpx2.head(url, timeout=SECONDS).content == b""
    assert requests.head(url, timeout=SECONDS).content == b""
    assert counted(watch) == (2, 0)


@pytest.mark.parametrize("name", ["whole", "chunked"])
def test_every_way_to_read_a_body(hub: str, watch: HubWatch, name: str) -> None:
    def body() -> Any:
        return urllib.request.urlopen(f"{hub}/{name}", timeout=SECONDS)

    def read_into(answer: Any) -> bytes:
        parts, buffer = b"", bytearray(1000)
        while count := answer.readinto(buffer):
            parts += buffer[:count]
        return parts

    for read in (
        lambda answer: b"".join(iter(lambda: answer.read(777), b"")),
        lambda answer: b"".join(iter(lambda: answer.read1(777), b"")),
        lambda answer: b"".join(answer),
        read_into,
    ):
        with body() as answer:
            assert read(answer) == BODY
        assert counted(watch) == (1, len(BODY))


def test_a_body_counts_as_far_as_it_is_read(hub: str, watch: HubWatch) -> None:
    with urllib.request.urlopen(f"{hub}/whole", timeout=SECONDS) as answer:
        assert len(answer.read(1000)) == 1000
    assert counted(watch) == (1, 1000)
    with httpx2.Client() as client:
        with client.stream("GET", f"{hub}/whole") as answer:
            first = len(next(answer.iter_raw()))
        assert answer.is_closed
        assert counted(watch) == (1, first)
        with client.stream("GET", f"{hub}/whole"):
            pass
        assert counted(watch) == (1, 0)
        assert client.get(f"{hub}/whole").content == BODY  # the connections are released


def test_errors_are_those_of_the_libraries(hub: str, watch: HubWatch) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{hub}/missing", timeout=SECONDS)
    assert caught.value.read() == BODY
    assert counted(watch) == (1, len(BODY))
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(f"{hub}/truncated", timeout=SECONDS)
    assert counted(watch) == (1, 1000)
    with urllib.request.urlopen(f"{hub}/truncated", timeout=SECONDS) as answer:
        with pytest.raises(http.client.IncompleteRead) as short:
            answer.read()
        assert len(short.value.partial) == 1000
    assert counted(watch)[0] == 1


def test_redirects_lead_to_servers_that_belong_to_the_hub(hub: str, watch: HubWatch) -> None:
    import requests

    url = f"{hub}/acme/crypto/resolve/main/moved"
    assert requests.get(url, timeout=SECONDS).content == BODY
    assert httpx2.get(url, follow_redirects=True, timeout=SECONDS).content == BODY
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        assert answer.read() == BODY
        elsewhere = answer.geturl()
    (fact,) = watch.take()
    assert (fact["requests"], fact["bytes"], fact["repos"]) == (6, 3 * len(BODY), ["acme/crypto"])
    with urllib.request.urlopen(elsewhere.replace("signature=1", "signature=2"), timeout=SECONDS) as answer:
        assert answer.read() == BODY
    assert counted(watch) == (1, len(BODY))
    with urllib.request.urlopen(elsewhere.replace("a%20b", "other"), timeout=SECONDS) as answer:
        assert answer.read() == BODY
    assert counted(watch) == (0, 0)


def test_coroutines(hub: str, watch: HubWatch) -> None:
    async def ask() -> None:
        async with httpx2.AsyncClient(timeout=SECONDS) as client:
            answers = await asyncio.gather(*(client.get(f"{hub}/{name}") for name in ("whole", "chunked")))
            assert [answer.content for answer in answers] == [BODY, BODY]
            assert counted(watch) == (2, 2 * len(BODY))
            async with client.stream("GET", f"{hub}/whole") as answer:
                async for piece in answer.aiter_raw():
                    first = len(piece)
                    break
            assert counted(watch) == (1, first)
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(f"{hub}/truncated")
            assert counted(watch) == (1, 1000)
            task = asyncio.create_task(client.get(f"{hub}/whole"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            watch.take()
            assert (await client.get(f"{hub}/whole")).content == BODY
        async with httpcore2.AsyncConnectionPool() as pool, pool.stream("GET", f"{hub}/whole") as answer:
            assert b"".join([piece async for piece in answer.aiter_stream()]) == BODY

    asyncio.run(ask())
    assert counted(watch) == (2, 2 * len(BODY))


def test_threads(hub: str, watch: HubWatch) -> None:
    def ask() -> None:
        for _ in range(5):
            httpx2.get(f"{hub}/whole", timeout=SECONDS)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    requests = received = 0
    while any(thread.is_alive() for thread in threads) or not received:  # as tests end while a thread still reads
        for fact in watch.take():
            requests, received = requests + fact["requests"], received + fact["bytes"]
        threads[0].join(0.01)
    for thread in threads:
        thread.join(SECONDS)
    for fact in watch.take():
        requests, received = requests + fact["requests"], received + fact["bytes"]
    assert (requests, received) == (40, 40 * len(BODY))


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_hub_that_cannot_be_reached(scheme: str) -> None:
    import requests

    endpoint = f"{scheme}://127.0.0.1:{closed_port()}"
    watch = watch_of(endpoint)
    with watching(watch):
        for get, error in ((requests.get, requests.ConnectionError), (httpx2.get, httpx2.ConnectError)):
            with pytest.raises(error):
                get(f"{endpoint}/api/models/acme/crypto")
            assert counted(watch) == (1, 0)
        if scheme == "http":
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(f"{endpoint}/api/models/acme/crypto", timeout=SECONDS)
            assert counted(watch) == (1, 0)


def test_other_requests_and_those_of_modelenv_do_not_count(hub: str, watch: HubWatch) -> None:
    with served() as other:
        with urllib.request.urlopen(f"{other}/whole", timeout=SECONDS) as answer:
            assert type(answer.fp).__module__ == "_io"  # not even wrapped
            assert answer.read() == BODY
        assert httpx2.get(f"{other}/moved", timeout=SECONDS).status_code == 302
        with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(204))) as mocked:
            assert mocked.get(f"{hub}/whole").status_code == 204
    with httpx2.Client() as client:
        request = client.build_request("GET", f"{hub}/whole", extensions={"modelenv.fetching.monitor": object()})
        assert client.send(request).content == BODY
    assert watch.take() == []


def test_nested_runs_count_each_request_in_each_run(hub: str, watch: HubWatch) -> None:
    """As if a test runs pytest in its own process."""
    import requests

    inner = watch_of(hub)
    with watching(inner):
        for _ in range(2):
            assert requests.get(f"{hub}/chunked", timeout=SECONDS).content == BODY
            assert httpx2.get(f"{hub}/whole", timeout=SECONDS).content == BODY
        assert counted(inner) == (4, 4 * len(BODY))
    assert requests.get(f"{hub}/whole", timeout=SECONDS).content == BODY
    assert counted(watch) == (5, 5 * len(BODY))
    assert counted(inner) == (0, 0)


def test_a_forked_child_reports_only_its_own_requests(hub: str, watch: HubWatch) -> None:
    watch.request(f"{hub}/api/models/acme/parent")
    child = os.fork()
    if child == 0:
        try:
            watch.request(f"{hub}/api/models/acme/child")
            os._exit(0 if [fact["repos"] for fact in watch.take()] == [["acme/child"]] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [fact["repos"] for fact in watch.take()] == [["acme/parent"]]


@pytest.mark.model_access
def test_xet(hub: str) -> None:
    import hf_xet

    from modelenv.deadlines import Deadline
    from modelenv.fetching.monitor import monitored

    watch = watch_of(hub)
    with watching(watch):
        session = hf_xet.XetSession()
        session.new_file_download_group(endpoint="https://cas-server.xethub.hf.co")
        (fact,) = watch.take()
        assert (fact["requests"], fact["transfers"], fact["bytes"]) == (0, 1, 0)
        with monitored(Deadline(SECONDS), "acme/crypto"):
            session.new_file_download_group(endpoint="https://cas-server.xethub.hf.co")
        assert watch.take() == []


def test_the_functions_look_like_the_originals(watch: HubWatch) -> None:
    """Libraries that mock HTTP clients inspect their functions."""
    import inspect

    for function, parameters in (
        (httpcore2.ConnectionPool.handle_request, ["self", "request"]),
        (httpcore2.AsyncConnectionPool.handle_async_request, ["self", "request"]),
        (http.client.HTTPConnection.putrequest, ["self", "method", "url", "skip_host", "skip_accept_encoding"]),
    ):
        assert inspect.getfullargspec(function).args == parameters
        assert function.__wrapped__.__name__ == function.__name__  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(httpcore2.AsyncConnectionPool.handle_async_request)
    assert not inspect.iscoroutinefunction(httpcore2.ConnectionPool.handle_request)
