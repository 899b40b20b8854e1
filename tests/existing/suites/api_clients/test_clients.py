import asyncio
import http.client
import os
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import httpx2
import pytest
import requests

HUB = os.environ["HF_ENDPOINT"]
INFO = f"{HUB}/api/models/acme/classifier"
FILE = f"{HUB}/acme/classifier/resolve/main/config.json"
WEIGHTS = f"{HUB}/acme/classifier/resolve/main/model.safetensors"
MISSING = f"{HUB}/acme/classifier/resolve/main/missing.json"


def test_requests():
    answer = requests.get(INFO, timeout=60)
    assert answer.json()["id"] == "acme/classifier"
    with requests.Session() as session:
        for _ in range(3):  # the connection is kept
            assert session.get(FILE, timeout=60).json()["architectures"]
        assert session.head(FILE, timeout=60).status_code == 200


def test_requests_follows_a_redirect():
    answer = requests.get(WEIGHTS, timeout=60, stream=True)
    assert len(answer.history) == 1
    assert len(b"".join(answer.iter_content(1000))) == int(answer.headers["Content-Length"])


def test_requests_in_a_thread():
    found = []
    threads = [threading.Thread(target=lambda: found.append(requests.get(FILE, timeout=60))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.status_code for each in found] == [200] * 4


def test_urllib():
    with urllib.request.urlopen(FILE, timeout=60) as answer:
        assert answer.readline() == b"{\n"
        assert answer.read(10)
        assert answer.read()
        assert answer.read() == b""
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(MISSING, timeout=60)
    assert caught.value.read()


def test_http_client():
    connection = http.client.HTTPConnection(urlsplit(HUB).netloc, timeout=60)
    for _ in range(2):
        connection.request("GET", urlsplit(FILE).path)
        answer = connection.getresponse()
        buffer = bytearray(20)
        assert answer.readinto(buffer) == 20
        assert answer.read1()
        assert len(answer.read()) >= 0
        assert answer.isclosed()
    connection.close()


def test_httpx_streams():
    with httpx2.Client(follow_redirects=True) as client:
        with client.stream("GET", WEIGHTS) as answer:
            assert sum(map(len, answer.iter_bytes())) == int(answer.headers["Content-Length"])
        assert client.get(MISSING).status_code == 404
        assert client.build_request("GET", FILE).url == FILE


async def test_httpx_async():
    async with httpx2.AsyncClient(follow_redirects=True) as client:
        answers = await asyncio.gather(client.get(INFO), client.get(FILE), client.get(WEIGHTS), client.head(FILE))
        assert [answer.status_code for answer in answers] == [200] * 4
        async with client.stream("GET", FILE) as answer:
            assert b"".join([piece async for piece in answer.aiter_raw()])


async def test_requests_in_an_executor():
    answer = await asyncio.to_thread(requests.get, FILE, timeout=60)
    assert answer.ok


def test_other_hosts():
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:9/acme/classifier/resolve/main/config.json", timeout=60)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get("http://127.0.0.1:9/api/models/acme/classifier")
    with pytest.raises(ValueError, match="IPv6"):
        requests.get("http://[huggingface.co/acme", timeout=60)


def test_a_mocked_transport():
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"id": "mocked"}))
    with httpx2.Client(transport=transport) as client:
        assert client.get(INFO).json() == {"id": "mocked"}
