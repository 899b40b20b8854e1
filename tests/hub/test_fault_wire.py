"""The effects of faults on the wire, as seen by a plain socket."""

from __future__ import annotations

import json
import logging
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from modelenv.hub import EmbeddedHub
from modelenv.hub.repos.content import git_id

from ..waiting import wait_until
from .wire import URL, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # whether a connection stays open can only be seen by waiting

CONTENT = bytes(range(256)) * 40


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.fixture
def hub(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[EmbeddedHub]:
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "data.txt").write_bytes(CONTENT)
    (tmp_path / "org" / "name" / "config.json").write_text("{}")
    with caplog.at_level(logging.ERROR), EmbeddedHub(tmp_path) as running:
        yield running
    assert [record.getMessage() for record in caplog.records] == []  # no fault causes an error in the server


def test_without_a_fault(hub: EmbeddedHub) -> None:
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body, wire.end) == (200, CONTENT, "open")


def test_a_status_with_headers(hub: EmbeddedHub) -> None:
    hub.fail(status=429, headers={"Retry-After": "7", "RateLimit": '"api";r=0;t=55'}, message="Too many", times=1)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body, wire.end) == (429, b'{"error": "Too many"}', "open")
    assert (wire.header("retry-after"), wire.header("ratelimit")) == ("7", '"api";r=0;t=55')
    assert wire.header("x-error-message") == "Too many"
    assert exchange(hub.endpoint).body == CONTENT
    assert [str(request) for request in hub.requests] == [
        f"GET {URL} -> 429, 21 bytes",
        f"GET {URL} -> 200, {len(CONTENT)} bytes",
    ]


@pytest.mark.parametrize(
    ("message", "said"), [("a\r\nb", "a  b"), ("日本", "\\u65e5\\u672c"), ("\0 \x7f \v", ""), ("\ud800", "\\ud800")]
)
def test_any_message_is_sent_on_one_line(hub: EmbeddedHub, message: str, said: str) -> None:
    hub.fail(status=500, message=message)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.header("x-error-message"), json.loads(wire.body)) == (500, said, {"error": message})


@pytest.mark.parametrize("name", ["content-length", "Content-Length"])
@pytest.mark.parametrize(
    ("length", "method", "end"),
    [(3, "GET", "closed"), (300, "GET", "closed"), (0, "GET", "closed"), (16, "GET", "open"), (3, "HEAD", "open")],
)
def test_a_rule_can_set_the_content_length(hub: EmbeddedHub, name: str, length: int, method: str, end: str) -> None:
    hub.fail(status=500, message="abc", headers={name: str(length), "CONTENT-TYPE": "text/html", "X-A": "é"})
    wire = exchange(hub.endpoint, method=method)
    assert wire.head.lower().count(b"content-length") == wire.head.lower().count(b"content-type") == 1
    assert (wire.header("content-length"), wire.header("content-type"), wire.end) == (str(length), "text/html", end)
    assert wire.body == (b'{"error": "abc"}' if method == "GET" else b"")


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503, 599])
def test_every_status_with_its_phrase(hub: EmbeddedHub, status: int) -> None:
    hub.fail(status=status)
    wire = exchange(hub.endpoint, "/api/models/org/name?a=b", "HEAD")
    assert (wire.status, wire.body, wire.end) == (status, b"", "open")
    assert int(wire.header("content-length")) > 10
    assert hub.requests[0].path == "/api/models/org/name?a=b"


def test_a_status_without_a_body(hub: EmbeddedHub) -> None:
    hub.fail(status=304, times=1)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body, wire.end) == (304, b"", "open")
    hub.fail(status=302, headers={"Location": "http://127.0.0.1:9/?token=hf_abcdefghijklmnopqrst"})
    assert exchange(hub.endpoint).header("location").startswith("http://127.0.0.1:9/")


def test_a_delay_before_the_first_byte(hub: EmbeddedHub) -> None:
    hub.fail(delay=0.3)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body) == (200, CONTENT)
    assert wire.first >= 0.3


def test_a_client_that_disconnects_during_a_delay(hub: EmbeddedHub) -> None:
    fault = hub.fail(delay=3600)
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1])), timeout=60) as client:
        client.sendall(f"GET {URL} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: fault.fired == 1)
    hub.stop()  # otherwise it would return only after the delay


def test_a_trickle(hub: EmbeddedHub) -> None:
    hub.fail(bytes_per_second=5_000)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body) == (200, CONTENT)
    assert wire.seconds >= len(CONTENT) / 5_000 - 0.1  # there is no wait after the last piece
    assert wire.first_body < len(CONTENT)


def test_a_trickle_slows_other_answers_too(hub: EmbeddedHub) -> None:
    hub.fail(bytes_per_second=2000, kind="info")
    wire = exchange(hub.endpoint, "/api/models/org/name")
    assert wire.body.startswith(b"{")
    assert wire.body.endswith(b"}")
    assert wire.seconds >= (len(wire.body) - 100) / 2000


def test_a_cut_body_has_its_full_content_length(hub: EmbeddedHub) -> None:
    fault = hub.fail(cut_after=1000)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body, wire.end) == (200, CONTENT[:1000], "closed")
    assert wire.header("content-length") == str(len(CONTENT))
    wire = exchange(hub.endpoint, method="HEAD")
    assert (wire.status, wire.end) == (200, "open")
    assert fault.fired == 1


def test_a_cut_counts_the_bytes_of_all_pieces(hub: EmbeddedHub) -> None:
    hub.fail(bytes_per_second=100_000)
    hub.fail(cut_after=7000, times=1)
    assert exchange(hub.endpoint).body == CONTENT[:7000]
    hub.fail(cut_after=len(CONTENT))
    wire = exchange(hub.endpoint)
    assert (wire.body, wire.end) == (CONTENT, "open")


def test_nothing_after_the_headers(hub: EmbeddedHub) -> None:
    hub.fail(cut_after=0)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body, wire.end) == (200, b"", "closed")


def test_a_reset_without_an_answer(hub: EmbeddedHub) -> None:
    hub.fail(reset=True)
    wire = exchange(hub.endpoint)
    assert (wire.head, wire.end) == (b"", "reset")
    assert str(hub.requests[0]) == f"GET {URL} -> no answer, 0 bytes"


def test_a_reset_in_the_middle_of_a_body(hub: EmbeddedHub) -> None:
    hub.fail(reset=True, cut_after=1000)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.end) == (200, "reset")
    assert CONTENT[:1000].startswith(wire.body)


@pytest.mark.parametrize("part", ["", "bytes=900-"])
def test_a_flipped_byte_is_at_its_offset_in_the_file(hub: EmbeddedHub, part: str) -> None:
    hub.fail(flip_byte=1000)
    wire = exchange(hub.endpoint, Range=part) if part else exchange(hub.endpoint)
    start = 900 if part else 0
    expected = bytearray(CONTENT)
    expected[1000] ^= 0xFF
    assert (wire.body, wire.end) == (bytes(expected[start:]), "open")
    assert exchange(hub.endpoint, Range="bytes=1001-").body == CONTENT[1001:]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_wrong_etag_has_the_form_of_the_right_one(hub: EmbeddedHub, method: str) -> None:
    right = git_id("blob", CONTENT)
    assert exchange(hub.endpoint, method=method).header("etag") == f'"{right}"'
    hub.fail(wrong_etag=True)
    wrong = exchange(hub.endpoint, method=method).header("etag")
    assert len(wrong) == 42
    assert wrong != f'"{right}"'
    assert int(wrong.strip('"'), 16)
    assert exchange(hub.endpoint, method=method).header("etag") == wrong


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_lying_headers_replace_the_real_ones(hub: EmbeddedHub, method: str) -> None:
    hub.fail(lying_headers={"etag": '"../x"', "X-Linked-Etag": "", "X-Repo-Commit": "é"})
    wire = exchange(hub.endpoint, method=method)
    assert [wire.header(name) for name in ("etag", "x-linked-etag", "x-repo-commit")] == ['"../x"', "", "é"]
    assert (wire.status, wire.end) == (200, "open")
    assert wire.head.lower().count(b"etag:") == 2
    assert wire.body == (CONTENT if method == "GET" else b"")


def test_lying_fields_replace_the_fields_of_every_object(hub: EmbeddedHub) -> None:
    right = json.loads(exchange(hub.endpoint, "/api/models/org/name").body)
    lie = hub.fail(lying_fields={"sha": "../x", "rfilename": 7, "unknown": []})
    wire = exchange(hub.endpoint, "/api/models/org/name")
    siblings = [{**each, "rfilename": 7} for each in right["siblings"]]
    assert json.loads(wire.body) == {**right, "sha": "../x", "siblings": siblings}
    assert (int(wire.header("content-length")), wire.end) == (len(wire.body), "open")
    assert exchange(hub.endpoint).body == CONTENT  # not JSON, so not changed
    assert exchange(hub.endpoint, method="HEAD").status == 200
    assert lie.fired == 2  # a HEAD has no body


@pytest.mark.parametrize("off_by", [10, -10, -100_000])
def test_a_wrong_length(hub: EmbeddedHub, off_by: int) -> None:
    hub.fail(length_off_by=off_by)
    length = str(max(0, len(CONTENT) + off_by))
    wire = exchange(hub.endpoint, wait=60)
    assert (wire.header("content-length"), wire.body, wire.end) == (length, CONTENT, "closed")
    wire = exchange(hub.endpoint, method="HEAD")
    assert (wire.header("content-length"), wire.body, wire.end) == (length, b"", "open")


def test_a_redirect_loop(hub: EmbeddedHub) -> None:
    hub.fail(redirect_loop=True)
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.header("location")) == (302, URL)


def test_an_expired_token(hub: EmbeddedHub) -> None:
    hub.fail(expired_token=True)
    wire = exchange(hub.endpoint, Authorization="Bearer hf_abcdefghijklmnopqrst")
    assert (wire.status, wire.header("x-error-message")) == (401, "Invalid credentials in Authorization header")
    assert exchange(hub.endpoint).status == 200


def test_a_refusal_resets_all_connections_and_ends(hub: EmbeddedHub) -> None:
    port = int(hub.endpoint.rsplit(":", 1)[1])
    hub.fail(refuse=0.5, times=1)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as idle:
        wire = exchange(hub.endpoint)
        assert (wire.head, wire.end) == (b"", "reset")
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
    wait_until(lambda: not is_refused(port))
    wire = exchange(hub.endpoint)
    assert (wire.status, wire.body) == (200, CONTENT)


def test_a_hub_that_refuses_can_be_stopped_and_started(hub: EmbeddedHub) -> None:
    port = int(hub.endpoint.rsplit(":", 1)[1])
    hub.fail(refuse=3600, times=1)
    assert exchange(hub.endpoint).end == "reset"
    assert is_refused(port)
    hub.stop()  # otherwise it would return only after it listens again
    hub.start()
    assert exchange(hub.endpoint).body == CONTENT


def test_faults_compose(hub: EmbeddedHub) -> None:
    hub.fail(delay=0.2)
    hub.fail(flip_byte=0)
    hub.fail(cut_after=1)
    wire = exchange(hub.endpoint)
    assert wire.first >= 0.2
    assert (wire.body, wire.end) == (b"\xff", "closed")
    hub.clear_faults()
    assert exchange(hub.endpoint).body == CONTENT


def test_a_fault_does_not_affect_concurrent_requests(hub: EmbeddedHub) -> None:
    fault = hub.fail(reset=True, file="config.json")
    ends: list[str] = []

    def ask(url: str) -> None:
        ends.append(exchange(hub.endpoint, url, wait=0.2).end)

    threads = [threading.Thread(target=ask, args=(url,)) for url in [URL, URL.replace("data.txt", "config.json")] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(ends) == ["open"] * 8 + ["reset"] * 8
    assert fault.fired == 8
