from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

from modelenv.hub.request_log import HubRequest, RequestLog

if TYPE_CHECKING:
    from modelenv.hub import EmbeddedHub


def test_a_request_is_logged_on_arrival() -> None:
    log = RequestLog()
    entry = log.open(HubRequest("GET", "/o/n/resolve/main/f", "resolve", "o/n", "main", "f"))
    assert [str(request) for request in log.all()] == ["GET /o/n/resolve/main/f -> no answer, 0 bytes"]
    entry.answered(200)
    entry.sending(3)
    entry.sending(4)
    assert [(request.status, request.body_bytes) for request in log.all()] == [(200, 7)]


def test_requests_are_in_order_of_arrival() -> None:
    log = RequestLog()
    first, second = (log.open(HubRequest("GET", path, "other")) for path in ("/1", "/2"))
    second.answered(200)
    first.answered(404)
    assert [request.path for request in log.all()] == ["/1", "/2"]


def test_a_cleared_request_does_not_come_back() -> None:
    log = RequestLog()
    entry = log.open(HubRequest("GET", "/1", "other"))
    log.clear()
    entry.answered(200)
    assert log.all() == ()


def test_the_listener_is_called_once_at_the_end_of_a_request() -> None:
    heard: list[HubRequest] = []
    log = RequestLog(heard.append)
    entry = log.open(HubRequest("GET", "/1", "other", range="bytes=0-1"))
    entry.answered(206)
    entry.sending(2)
    assert heard == []
    entry.close()
    assert [str(request) for request in heard] == ["GET /1 (bytes=0-1) -> 206, 2 bytes"]


def test_bytes_held_back_by_a_fault_are_not_counted(hub: EmbeddedHub, ask) -> None:
    with hub.fail(cut_after=10), pytest.raises(http.client.IncompleteRead):
        ask("GET", "/org/name/resolve/main/vocab.txt")
    with hub.fail(reset=True), pytest.raises(ConnectionResetError):
        ask("GET", "/org/name/resolve/main/vocab.txt")
    assert [str(request) for request in hub.requests] == [
        "GET /org/name/resolve/main/vocab.txt -> 200, 10 bytes",
        "GET /org/name/resolve/main/vocab.txt -> no answer, 0 bytes",
    ]
