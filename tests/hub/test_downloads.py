"""Downloads with the real client: the files, and the number of requests."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..waiting import wait_until

if TYPE_CHECKING:
    from modelenv.hub import EmbeddedHub

FILES = 6


def test_a_snapshot_cold_and_warm(hub: EmbeddedHub, model: Path, client_cache: Path) -> None:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download("org/name", endpoint=hub.endpoint, cache_dir=client_cache, token=False))

    served = {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == served
    assert Counter((request.kind, request.method) for request in hub.requests) == {
        ("info", "GET"): 1,
        ("tree", "GET"): 1,
        ("resolve", "HEAD"): FILES,
        ("resolve", "GET"): FILES - 1,  # the client creates empty files without a request
    }
    assert sum(request.body_bytes for request in hub.requests if request.kind == "resolve") == sum(
        map(len, served.values())
    )

    hub.clear()
    snapshot_download("org/name", endpoint=hub.endpoint, cache_dir=client_cache, token=False)
    assert [request.kind for request in hub.requests] == ["info"]

    hub.clear()
    pinned = {"revision": folder.name, "endpoint": hub.endpoint, "cache_dir": client_cache, "token": False}
    assert Path(snapshot_download("org/name", **pinned)) == folder
    hub.assert_no_requests()


def test_one_file(hub: EmbeddedHub, client_cache: Path) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    options = {"endpoint": hub.endpoint, "cache_dir": client_cache, "token": False}
    path = Path(hf_hub_download("org/name", "parts/größe 1.txt", **options))
    assert path.read_text() == "x"
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("org/name", "nothing.json", **options)
    assert list(client_cache.glob("models--org--name/.no_exist/*/nothing.json"))


def test_a_changed_model_is_a_new_snapshot(hub: EmbeddedHub, model: Path, client_cache: Path) -> None:
    from huggingface_hub import snapshot_download

    options = {"endpoint": hub.endpoint, "cache_dir": client_cache, "token": False}
    first = snapshot_download("org/name", **options)
    (model / "vocab.txt").write_text("new")
    hub.clear()
    second = Path(snapshot_download("org/name", **options))
    assert str(second) != first
    assert (second / "vocab.txt").read_text() == "new"
    fetched = [request.file for request in hub.requests if request.method == "GET" and request.kind == "resolve"]
    assert fetched == ["vocab.txt"]


@pytest.mark.slow
def test_64_clients_at_once(hub: EmbeddedHub, client_cache: Path, model: Path) -> None:
    from huggingface_hub import hf_hub_download

    together = threading.Barrier(64)

    def fetch(number: int) -> bytes:
        together.wait(timeout=60)
        cache = client_cache / str(number)
        path = hf_hub_download("org/name", "vocab.txt", endpoint=hub.endpoint, cache_dir=cache, token=False)
        return Path(path).read_bytes()

    with ThreadPoolExecutor(64) as pool:
        contents = set(pool.map(fetch, range(64)))
    assert contents == {(model / "vocab.txt").read_bytes()}
    assert Counter((request.method, request.status) for request in hub.requests) == {
        ("HEAD", 200): 64,
        ("GET", 200): 64,
    }


def test_a_slow_download_keeps_its_rate_until_the_fault_ends(
    hub: EmbeddedHub, client_cache: Path, model: Path
) -> None:
    from huggingface_hub import hf_hub_download

    (model / "vocab.txt").write_bytes(bytes(1_000_000))
    trickle = hub.fail(bytes_per_second=100)  # the file would take hours

    def sent() -> int:
        return max((asked.body_bytes for asked in hub.requests if asked.method == "GET"), default=0)

    def end_it() -> None:
        wait_until(lambda: sent() > 20)
        on_the_way.append(sent())
        trickle.cancel()

    on_the_way: list[int] = []
    faster = threading.Thread(target=end_it)
    faster.start()
    hf_hub_download("org/name", "vocab.txt", endpoint=hub.endpoint, cache_dir=client_cache, token=False)
    faster.join()
    assert 20 < on_the_way[0] < 1_000_000
    assert sent() == 1_000_000


@pytest.mark.slow
def test_a_killed_client_does_not_affect_the_hub(hub: EmbeddedHub, model: Path, ask) -> None:
    (model / "vocab.txt").write_bytes(bytes(1_000_000))
    hub.fail(bytes_per_second=100)
    url = f"{hub.endpoint}/org/name/resolve/main/vocab.txt"
    code = f"import urllib.request as u; r = u.urlopen({url!r}); r.read(100); print('begun', flush=True); r.read()"
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert client.stdout is not None
    with client, client.stdout:
        assert client.stdout.readline() == b"begun\n"
        client.kill()
        client.wait(timeout=60)

    def is_still() -> bool:
        sent = hub.requests[0].body_bytes
        time.sleep(0.3)
        return hub.requests[0].body_bytes == sent

    wait_until(is_still)  # nothing more is sent
    assert hub.requests[0].body_bytes < 1_000_000
    hub.clear_faults()
    assert ask("GET", "/org/name/resolve/main/vocab.txt").status == 200


@pytest.mark.slow
def test_an_interrupted_download_resumes_when_the_hub_is_back(
    hub: EmbeddedHub, client_cache: Path, model: Path
) -> None:
    from huggingface_hub import hf_hub_download

    # The client stores what it received in steps of 10 MiB.
    content = bytes(range(256)) * (64 * 1024)
    (model / "vocab.txt").write_bytes(content)
    hub.fail(bytes_per_second=4_000_000)

    def break_off() -> None:
        wait_until(lambda: any(request.body_bytes > 13_000_000 for request in hub.requests))
        hub.stop()
        hub.clear_faults()
        hub.start()

    breaker = threading.Thread(target=break_off, daemon=True)
    breaker.start()
    path = hf_hub_download("org/name", "vocab.txt", endpoint=hub.endpoint, cache_dir=client_cache, token=False)
    breaker.join(timeout=60)
    assert Path(path).read_bytes() == content
    assert (hub.requests[-1].status, hub.requests[-1].range) == (206, "bytes=10485760-")
