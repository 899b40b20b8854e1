"""What a process asks the Hub for is recorded, whichever library asks; without the Hub, it is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelenv.adoption.records import Adoption, Asked, read
from modelenv.adoption.runs import variables_of
from modelenv.hub import EmbeddedHub

CLIENTS = """
import asyncio, http.client, os, sys, urllib.request
import httpx2, requests
hub = os.environ["HF_ENDPOINT"]
url = f"{hub}/acme/first/resolve/main/config.json"

def tried(call):
    try:
        call()
    except Exception as error:
        print(type(error).__module__.partition(".")[0], type(error).__name__)

async def ask():
    async with httpx2.AsyncClient() as client:
        await client.get(url)

tried(lambda: urllib.request.urlopen(url))
tried(lambda: requests.get(url))
tried(lambda: httpx2.get(url))
tried(lambda: asyncio.run(ask()))
tried(lambda: requests.get("http://127.0.0.1:9/acme/first/resolve/main/config.json"))
"""
FILES = """
from huggingface_hub import hf_hub_download, try_to_load_from_cache
import os
os.environ["PYTEST_CURRENT_TEST"] = "tests/test_it.py::test_it[a b] (call)"
hf_hub_download("acme/first", "config.json")
hf_hub_download("acme/first", filename="config.json", revision="main")
commit = try_to_load_from_cache("acme/first", "config.json").split("/")[-2]
try_to_load_from_cache("acme/first", "config.json", None, commit, "model")
try_to_load_from_cache("acme/first", "never.json")
for wrong in (lambda: hf_hub_download(), lambda: hf_hub_download(7, "config.json"),
              lambda: hf_hub_download("acme/first", "config.json", endpoint="http://127.0.0.1:9")):
    try:
        wrong()
    except Exception:
        pass
print(commit)
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with EmbeddedHub() as hub:
        hub.add(folder, "acme/first")
        yield hub


def run(code: str, adoption: Adoption, environ: dict[str, str]) -> str:
    Path(adoption.folder).mkdir()
    environ = {**variables_of(adoption, environ), "HF_ENDPOINT": adoption.endpoint, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow  # imports five libraries in a process of its own
def test_each_client(hub: EmbeddedHub, tmp_path: Path, make_environ: Callable[..., dict[str, str]]) -> None:
    online = Adoption(str(tmp_path / "online"), hub.endpoint)
    assert run(CLIENTS, online, make_environ()) == "requests ConnectionError\n"
    asked = Asked("", "model", "acme/first", "main", "config.json", is_request=True, by_client=False)
    assert read(tmp_path / "online").asked == (asked,) * 4
    hub.clear()
    offline = Adoption(str(tmp_path / "offline"), hub.endpoint, str(tmp_path), str(tmp_path / "cache"))
    lines = run(CLIENTS, offline, make_environ()).splitlines()
    assert lines == ["urllib URLError", "requests ConnectionError", *["httpx2 ConnectError"] * 2, *lines[4:]]
    assert len(read(tmp_path / "offline").asked) == 4
    assert hub.requests == ()


@pytest.mark.slow  # imports huggingface_hub in a process of its own
def test_calls_for_files(hub: EmbeddedHub, tmp_path: Path, make_environ: Callable[..., dict[str, str]]) -> None:
    adoption = Adoption(str(tmp_path / "seen"), hub.endpoint)
    commit = run(FILES, adoption, make_environ()).strip()
    test = "tests/test_it.py::test_it[a b]"
    calls = [each for each in read(tmp_path / "seen").asked if not each.is_request]
    assert calls == [
        Asked(test, "model", "acme/first", None, "config.json"),
        Asked(test, "model", "acme/first", "main", "config.json"),
        Asked(test, "model", "acme/first", None, "config.json"),
        Asked(test, "model", "acme/first", commit, "config.json"),
    ]


def test_variables_of_the_user_are_kept(tmp_path: Path) -> None:
    adoption = Adoption(str(tmp_path), "https://huggingface.co")
    found = variables_of(adoption, {"PYTHONPATH": "a", "PYTEST_PLUGINS": "b", "X": "y"})
    assert found["PYTHONPATH"].endswith(f"{os.sep}injected{os.pathsep}a")
    assert (found["PYTEST_PLUGINS"], found["X"]) == ("pytest_modelenv.adopting,b", "y")
    assert Adoption.of(found) == adoption
    assert Adoption.of({}) is None
