"""Load: many connections, processes and bytes at the same time."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from modelenv.hub import EmbeddedHub

if TYPE_CHECKING:
    from pathlib import Path

FETCH = """
import hashlib, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as answer:
    print(hashlib.file_digest(answer, "sha256").hexdigest())
"""


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.integration)])
def test_many_requests_at_once(hub: EmbeddedHub, model: Path, count: int) -> None:
    port = int(hub.endpoint.rsplit(":", 1)[1])
    paths = ["/org/name/resolve/main/vocab.txt", "/api/models/org/name"] * (count // 2)

    async def ask_all() -> list[bytes]:
        return await asyncio.gather(*(get(port, path) for path in paths))

    answers = asyncio.run(asyncio.wait_for(ask_all(), 60))
    assert {answer.split(b"\r\n", 1)[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    content = (model / "vocab.txt").read_bytes()
    assert all(answer.endswith(b"\r\n\r\n" + content) for answer in answers[::2])
    assert Counter((request.kind, request.status) for request in hub.requests) == {
        ("resolve", 200): count // 2,
        ("info", 200): count // 2,
    }


@pytest.mark.parametrize("count", [4, pytest.param(64, marks=pytest.mark.integration)])
def test_many_processes_at_once(hub: EmbeddedHub, model: Path, count: int) -> None:
    content = os.urandom(1_000_000)
    (model / "model.bin").write_bytes(content)
    url = f"{hub.endpoint}/org/name/resolve/main/model.bin"
    # A shell would wait for each in turn; these run together.
    clients = [
        subprocess.Popen([sys.executable, "-S", "-c", FETCH, url], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    found = {client.communicate(timeout=100)[0].strip() for client in clients}
    assert found == {hashlib.sha256(content).hexdigest()}
    assert Counter(request.status for request in hub.requests) == {200: count}


def is_peer_of(client: socket.socket, other: object) -> bool:
    try:
        # The object's type is compared: reading `__class__` of some objects in torch emits a warning.
        return issubclass(type(other), socket.socket) and other.getpeername() == client.getsockname()
    except OSError:  # closed, or a listening socket
        return False


def test_nagles_algorithm_does_not_delay_responses(hub: EmbeddedHub) -> None:
    # Headers and body are two writes. With Nagle's algorithm, the second waits 40 ms for the ACK of the first.
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1])), timeout=60) as client:
        client.sendall(b"GET /api/models/org/name HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        (served,) = [each for each in gc.get_objects() if is_peer_of(client, each)]
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
