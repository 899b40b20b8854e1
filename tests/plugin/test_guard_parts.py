"""The parts of the guards: addresses, places, patches and import watches."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.guards.callers import Place, user_places
from pytest_modelenv.guards.hub_addresses import HubAddresses, is_bookkeeping, is_on_this_machine, repo_id
from pytest_modelenv.guards.import_watch import PATCHED, ImportWatch
from pytest_modelenv.guards.patches import TARGETS, patch_module

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://huggingface.co/api/models/acme/crypto", "acme/crypto"),
        ("https://huggingface.co/api/models/acme/crypto/revision/main?expand=x", "acme/crypto"),
        ("https://huggingface.co/api/models/gpt2/tree/main/x", "gpt2"),
        ("https://huggingface.co/api/datasets/acme/data", "acme/data"),
        ("https://huggingface.co/acme/crypto/resolve/main/config.json", "acme/crypto"),
        ("https://huggingface.co/gpt2/resolve/main/config.json", "gpt2"),
        ("https://huggingface.co/datasets/acme/data/resolve/main/x.csv", "acme/data"),
        ("https://huggingface.co/api/resolve-cache/models/acme/crypto/abc/config.json", "acme/crypto"),
        ("https://huggingface.co/api/models?search=bert", None),
        ("https://huggingface.co/api/whoami-v2", None),
        ("https://cdn-lfs.hf.co/repos/ab/cd", None),
        ("https://huggingface.co", None),
    ],
)
def test_the_repository_of_a_request(url: str, name: str | None) -> None:
    assert repo_id(url) == name


@pytest.mark.parametrize(
    ("endpoint", "url", "is_hub"),
    [
        (None, "https://huggingface.co/x", True),
        (None, "https://hf.co/x", True),
        (None, "https://cas-bridge.xethub.hf.co/x", True),
        (None, "https://HuggingFace.co:443/x", True),
        (None, "https://nothuggingface.co/x", False),
        (None, "https://huggingface.co.example/x", False),
        (None, "http://127.0.0.1:8000/x", False),
        ("https://mirror.example", "https://mirror.example:443/x", True),
        ("https://mirror.example", "https://other.example/x", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/x", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8001/x", False),
        (None, "https://huggingface.co./x", True),
        ("http://127.0.0.1:8000", "http://localhost:8000/x", True),
        ("http://localhost:8000", "http://127.0.0.1:8000/x", True),
        ("http://localhost:8000", "http://[::1]:8000/x", True),
        ("http://[::1]:8000", "http://hub.localhost:8000/x", True),
        ("http://127.0.0.1:8000", "http://127.0.0.2:8000/x", False),
    ],
)
def test_what_is_the_hub(endpoint: str | None, url: str, is_hub: bool) -> None:
    assert HubAddresses(endpoint).include(url) is is_hub


def test_an_endpoint_set_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", None)  # type: ignore[arg-type]
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:1234")
    run = HubAddresses("http://127.0.0.1:8000")
    assert run.are_replaced()
    assert not run.include("http://localhost:1234/x")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert not run.are_replaced()
    assert run.include("https://mirror.example/x")
    monkeypatch.delenv("HF_ENDPOINT")
    assert not run.are_replaced()


def test_loopback_and_bookkeeping_addresses() -> None:
    assert is_on_this_machine("http://127.3.2.1")
    assert is_on_this_machine("http://[::1]:80/x")
    assert is_on_this_machine("http://hub.localhost")
    assert not is_on_this_machine("https://huggingface.co")
    assert is_bookkeeping("https://huggingface.co/api/telemetry/gradio")
    assert not is_bookkeeping("https://huggingface.co/api/models/acme/crypto")


def test_places_name_the_innermost_line_first() -> None:
    def inner() -> list[Place]:
        return user_places()

    places = inner()
    assert [place.function for place in places] == ["inner", "test_places_name_the_innermost_line_first"]
    assert {place.file for place in places} == {__file__}
    root = Path(__file__).parent
    assert places[0].describe(root) == f"test_guard_parts.py:{places[0].line} in inner"
    assert Place("/elsewhere/a.py", 3).describe(root) == "/elsewhere/a.py:3"


class Refusing:
    """A guard that records all accesses and refuses them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def request(self, method: str, url: str) -> None:
        self.asked.append((method, url))
        raise PermissionError

    def xet(self, call: str, endpoint: str | None) -> None:
        self.asked.append((call, str(endpoint)))
        raise PermissionError

    def weights(self, call: str, model: Any) -> None:
        self.asked.append((call, str(model)))
        raise PermissionError


def test_a_function_is_patched_and_restored() -> None:
    from http.client import HTTPConnection, HTTPSConnection

    before = HTTPConnection.putrequest
    guard = Refusing()
    (patch,) = patch_module("http.client", guard)
    try:
        for connection in (HTTPConnection("huggingface.co"), HTTPSConnection("huggingface.co", 8443)):
            with pytest.raises(PermissionError):
                connection.request("GET", "/acme/crypto")
        tunnel = HTTPSConnection("127.0.0.1", 9)
        tunnel.set_tunnel("huggingface.co", 443)
        with pytest.raises(PermissionError):
            tunnel.putrequest("GET", "/tunnel")
        with pytest.raises(PermissionError):
            HTTPConnection("127.0.0.1", 9).putrequest("GET", "http://huggingface.co/proxy")
    finally:
        patch.undo()
    assert HTTPConnection.putrequest is before
    assert guard.asked == [
        ("GET", "http://huggingface.co:80/acme/crypto"),
        ("GET", "https://huggingface.co:8443/acme/crypto"),
        ("GET", "https://huggingface.co:443/tunnel"),
        ("GET", "http://huggingface.co/proxy"),
    ]


def test_httpcore_is_patched_itself() -> None:
    import asyncio

    import httpcore2

    async def ask(url: httpcore2.URL) -> None:
        async with httpcore2.AsyncConnectionPool() as pool:
            await pool.request("GET", url)

    guard = Refusing()
    patches = patch_module("httpcore2", guard)
    try:
        for url in (
            httpcore2.URL("https://huggingface.co/acme/crypto"),
            httpcore2.URL("http://[::1]:8000/acme/crypto?x=y"),
            httpcore2.URL(scheme=b"http", host=b"proxy", port=8080, target=b"http://huggingface.co/proxy"),
        ):
            with httpcore2.ConnectionPool() as pool, pytest.raises(PermissionError):
                pool.request("HEAD", url)
            with pytest.raises(PermissionError):
                asyncio.run(ask(url))
    finally:
        for patch in patches:
            patch.undo()
    assert guard.asked == [
        (method, url)
        for url in (
            "https://huggingface.co/acme/crypto",
            "http://[::1]:8000/acme/crypto?x=y",
            "http://huggingface.co/proxy",
        )
        for method in ("HEAD", "GET")
    ]


def test_a_guarded_function_looks_like_the_original() -> None:
    """Libraries that mock HTTP clients inspect their functions."""
    import inspect

    import httpcore2

    patches = patch_module("httpcore2", Refusing())
    try:
        pool = httpcore2.AsyncConnectionPool
        assert inspect.iscoroutinefunction(pool.handle_async_request)
        assert inspect.getfullargspec(pool.handle_async_request).args == ["self", "request"]
    finally:
        for patch in patches:
            patch.undo()


def write_weights(folder: Path, configuration: str | None) -> Path:
    folder.mkdir()
    header = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\1")
    if configuration is not None:
        (folder / "config.json").write_text(configuration)
    return folder / "model.safetensors"


def test_safe_open_stays_a_class(tmp_path: Path) -> None:
    import safetensors

    weights = write_weights(tmp_path / "model", '{"architectures": ["BertModel"]}')
    original = safetensors.safe_open
    with original(weights, framework="np") as before:
        guard = Refusing()
        (patch,) = patch_module("safetensors", guard)
        try:
            guarded = safetensors.safe_open
            assert guarded is not original
            assert guarded | None  # as in an annotation
            assert isinstance(before, guarded)
            for file in (weights, str(weights)):
                with pytest.raises(PermissionError):
                    guarded(file, framework="np")
            with pytest.raises(PermissionError):
                guarded(filename=weights, framework="np")
        finally:
            patch.undo()
    assert safetensors.safe_open is original
    assert guard.asked == [("safetensors.safe_open", str(weights))] * 3


@pytest.mark.parametrize(
    ("configuration", "is_models"),
    [
        ('{"architectures": ["BertModel"], "model_type": "bert"}', True),
        ('{"model_type": "bert", "transformers_version": "5.24.0"}', True),
        ('{"_class_name": "UNet2DModel"}', True),
        ('{"architecture": "vit_tiny", "pretrained_cfg": {}}', True),
        ('{"model_type": "ridge", "features": 3}', False),
        ('["architectures"]', False),
        ('{"architectures": ', False),
        ("", False),
        (None, False),
    ],
)
def test_weights_are_those_beside_a_models_configuration(
    tmp_path: Path, configuration: str | None, is_models: bool
) -> None:
    import safetensors

    weights = write_weights(tmp_path / "model", configuration)
    guard = Refusing()
    (patch,) = patch_module("safetensors", guard)
    try:
        if is_models:
            with pytest.raises(PermissionError):
                safetensors.safe_open(weights, framework="np")
        else:
            with safetensors.safe_open(weights, framework="np") as opened:
                assert list(opened.keys()) == ["w"]
    finally:
        patch.undo()
    assert bool(guard.asked) is is_models


def test_a_library_without_the_function_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hf_xet", type(sys)("hf_xet"))
    assert patch_module("hf_xet", Refusing()) == []
    assert set(TARGETS) >= {"httpx", "httpx2", "urllib3.connectionpool", "hf_xet", "torch.serialization"}


def test_imports_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "watched_module.py").write_text("SEEN = True\n")
    (tmp_path / "failing_module.py").write_text("raise ValueError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen = []

    @contextmanager
    def around(name: str) -> Iterator[None]:
        seen.append(f"{name} begins")
        yield
        seen.append(f"{name} ended: {sys.modules[name].SEEN}")

    watches = [ImportWatch(["watched_module", "failing_module"], around) for _ in range(2)]  # as in nested runs
    for watch in watches:
        watch.install()
    try:
        import watched_module

        with pytest.raises(ValueError, match="broken"):
            import failing_module  # noqa: F401
    finally:
        for watch in watches:
            watch.uninstall()
    monkeypatch.delitem(sys.modules, "watched_module")
    assert seen == [
        *["watched_module begins"] * 2,
        *["watched_module ended: True"] * 2,
        *["failing_module begins"] * 2,
    ]
    assert type(watched_module.__loader__).__name__ == "SourceFileLoader"
    assert "exec_module" not in vars(watched_module.__loader__)


def test_all_patched_modules_are_watched() -> None:
    assert set(PATCHED) == set(TARGETS)
