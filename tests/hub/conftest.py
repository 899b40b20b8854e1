"""Folders of models to serve, a running Hub, and the real client with a cache of its own."""

from __future__ import annotations

import http.client
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from modelenv.hub import EmbeddedHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from huggingface_hub import HfApi

CARD = """---
license: apache-2.0
language: [en]
tags: [finance]
updated: 2024-01-31
---
# A model
"""


def write_weights(path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]},
        "b": {"dtype": "I64", "shape": [2], "data_offsets": [32, 48]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(range(48)))


def write_model(folder: Path) -> Path:
    (folder / "parts" / "deep").mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertForSequenceClassification"]}')
    (folder / "README.md").write_text(CARD)
    (folder / "vocab.txt").write_text("".join(f"word{number}\n" for number in range(300)))
    (folder / "parts" / "größe 1.txt").write_text("x")
    (folder / "parts" / "deep" / "empty.txt").write_bytes(b"")
    write_weights(folder / "model.safetensors")
    return folder


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "models" / "org" / "name")


@pytest.fixture
def make_model() -> Callable[[Path], Path]:
    return write_model


@pytest.fixture
def hub(model: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(model.parent.parent) as running:
        yield running


@pytest.fixture
def ask(hub: EmbeddedHub) -> Callable[..., Answer]:
    """A function that sends one plain request, exactly as given."""

    def send(method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    return send


@pytest.fixture
def client_cache(hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a cache for the real client. The endpoint is passed to each call.

    `constants.ENDPOINT` is left alone: the client replaces it in a template made of it at import.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import _detect_agent

    # Once per process, the client fetches a list of known agents from the public Hub.
    monkeypatch.setattr(_detect_agent, "_registry", _detect_agent._EMPTY_REGISTRY)
    home = tmp_path / "hf_home"
    for name, value in {
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_ETAG_TIMEOUT": 60,  # otherwise the client repeats requests to a busy Hub
        "HF_HUB_DOWNLOAD_TIMEOUT": 60,
        "HF_HUB_DISABLE_TELEMETRY": False,
        "HF_HUB_DISABLE_XET": True,
        "AGENT_HARNESSES_PATH": str(home / "agents.json"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def api(hub: EmbeddedHub, client_cache: Path) -> HfApi:
    """The real client of a user who can write to the repositories of `ada` and `org`."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=hub.token("ada", orgs=["org"]))


@pytest.fixture
def repo(api: HfApi) -> str:
    """A repository of that user, with only a `.gitattributes`."""
    return api.create_repo("new").repo_id
