from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import time

import pytest

from modelenv.hub import EmbeddedHub


@pytest.mark.slow
def test_a_stop_closes_every_accepted_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []
    gc.collect()  # garbage of earlier tests
    monkeypatch.setattr(sys, "unraisablehook", lambda left: lost.append(str(left.exc_value)))
    is_over = threading.Event()

    def request_repeatedly(port: int) -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(b"GET /api/whoami-v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                client.recv(100)

    with EmbeddedHub() as hub:
        port = int(hub.endpoint.rsplit(":", 1)[1])
        clients = [threading.Thread(target=request_repeatedly, args=(port,)) for _ in range(6)]
        for client in clients:
            client.start()
        try:
            for _ in range(20):
                time.sleep(0.01)
                hub.stop()
                hub.start()
        finally:
            is_over.set()
            for client in clients:
                client.join(timeout=60)
    gc.collect()
    assert lost == []
