"""Large files on a second port, to which the Hub redirects."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from modelenv.hub import EmbeddedHub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hub(model: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(cdn=True) as running:
        running.add(model, "org/name")
        yield running


def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, url.removeprefix(f"http://{parts.netloc}"), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_cdn_causes_no_additional_requests(hub: EmbeddedHub, model: Path, client_cache: Path) -> None:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download("org/name", endpoint=hub.endpoint, cache_dir=client_cache, token="hf_any"))
    assert (folder / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    asked = Counter(
        (request.kind, request.method, request.status) for request in hub.requests if "safetensors" in str(request)
    )
    assert asked == {("resolve", "HEAD", 302): 1, ("cdn", "GET", 200): 1}
    entry = next(request for request in hub.requests if request.kind == "cdn")
    assert (entry.repo_id, entry.file, entry.revision) == ("org/name", "model.safetensors", folder.name)


def test_an_id_of_the_length_of_a_commit(hub: EmbeddedHub, model: Path, client_cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("r" * 40, f"{'o' * 40}/{'r' * 40}"):
        hub.add(model, name)
        path = hf_hub_download(name, "model.safetensors", endpoint=hub.endpoint, cache_dir=client_cache)
        assert Path(path).read_bytes() == (model / "model.safetensors").read_bytes()
        assert (hub.requests[-1].kind, hub.requests[-1].repo_id) == ("cdn", name)


def test_a_fault_of_the_body_requires_kind_cdn(hub: EmbeddedHub, model: Path, client_cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    content = (model / "model.safetensors").read_bytes()
    flipped = hub.fail(flip_byte=10, file="*.safetensors", kind="cdn", times=1)
    first, second = (
        Path(hf_hub_download("org/name", "model.safetensors", endpoint=hub.endpoint, cache_dir=client_cache / name))
        for name in ("first", "second")
    )
    damaged = first.read_bytes()
    assert [place for place in range(len(content)) if damaged[place] != content[place]] == [10]
    assert (second.read_bytes(), flipped.fired) == (content, 1)


def test_the_headers_of_the_redirect(hub: EmbeddedHub, ask, model: Path) -> None:
    head = ask("HEAD", "/org/name/resolve/main/model.safetensors")
    assert (head.status, head.headers["x-linked-size"]) == (302, str((model / "model.safetensors").stat().st_size))
    assert not head.headers["location"].startswith(f"{hub.endpoint}/")
    assert "etag" not in head.headers
    assert fetch(head.headers["location"]) == (200, (model / "model.safetensors").read_bytes())
    assert fetch(head.headers["location"], Range="bytes=2-5")[0] == 206
    assert ask("HEAD", "/org/name/resolve/main/config.json").status == 200


def test_the_url_is_signed_and_refuses_a_token(hub: EmbeddedHub, ask, monkeypatch: pytest.MonkeyPatch) -> None:
    url = ask("HEAD", "/org/name/resolve/main/model.safetensors").headers["location"]
    assert fetch(url, Authorization="Bearer hf_x") == (
        400,
        json.dumps(
            {"error": "Only one auth mechanism allowed; this address is signed"}, separators=(",", ":")
        ).encode(),
    )
    status, body = fetch(url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert (status, json.loads(body)) == (403, {"error": "Access denied: the signature is not valid"})
    assert fetch(url.split("?")[0])[0] == 403
    assert fetch(url.replace("Expires=", "Expires=9"))[0] == 403
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 4000)
    status, body = fetch(url)
    assert (status, json.loads(body)) == (403, {"error": "Access denied: this address has expired"})
    monkeypatch.undo()
    hub.remove("org/name")
    assert fetch(url)[0] == 404


def test_the_first_port_does_not_serve_cdn_paths(hub: EmbeddedHub, ask) -> None:
    url = ask("HEAD", "/org/name/resolve/main/model.safetensors").headers["location"]
    parts = urlsplit(url)
    assert fetch(f"{hub.endpoint}{parts.path}?{parts.query}")[0] == 404
