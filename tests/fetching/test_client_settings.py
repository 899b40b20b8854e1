"""A mistake in the Hub client's variables is our error, which names the variable, before any request."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelenv import SmartModelManager
from modelenv.deadlines import Deadline
from modelenv.environment.hub_client import mistakes
from modelenv.environment.libraries import environment
from modelenv.environment.settings import Settings
from modelenv.errors import ConfigurationError, ModelDownloadError, ModelNotFoundError
from modelenv.hub import EmbeddedHub
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import MakeModel

REF = ModelRef("acme/model")
PASSWORD = "open/sesame"
PARSED_AT_IMPORT = """
import json, os, sys
from modelenv.errors import ConfigurationError
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
for name, value in json.loads(sys.argv[1]):
    os.environ[name] = value
    try:
        Settings.load().root_of(ModelSource.HUGGINGFACE_HUB)
    except ConfigurationError as error:
        print(json.dumps(str(error)))
    del os.environ[name]
print(json.dumps(str(Settings.load().root_of(ModelSource.HUGGINGFACE_HUB))))
"""


@pytest.fixture
def new_client(hub: EmbeddedHub) -> Iterator[None]:
    """Make `huggingface_hub` create its client anew, with the variables of the test, and again afterwards."""
    from huggingface_hub.utils import close_session

    close_session()
    yield
    close_session()


@pytest.fixture
def refused(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, new_client: None
) -> Callable[..., ConfigurationError]:
    """Request a model of the Hub with these variables, and return the error."""
    hub.add(make_model(), "acme/model")

    def ask(**variables: str) -> ConfigurationError:
        hub.clear()
        with environment(variables):
            with pytest.raises(ConfigurationError) as caught:
                find_or_fetch_model(store, REF, Deadline(30))
            assert [str(each) for each in mistakes()] == [str(caught.value)]  # what `doctor` shows
        hub.assert_no_requests()
        assert not (store.root / "models--acme--model" / "snapshots").exists()
        return caught.value

    return ask


def test_variables_that_are_parsed_at_import(clean_environ: dict[str, str], tmp_path: Path) -> None:
    wrong = [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "10s"), ("HF_HUB_DOWNLOAD_TIMEOUT", "1.5"), ("HF_HUB_ETAG_TIMEOUT", "soon"),
        ("HF_ENDPOINT", "http://["),
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PARSED_AT_IMPORT, json.dumps(wrong)],
        env=clean_environ, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, root = map(json.loads, done.stdout.splitlines())
    seconds = "a positive whole number of seconds"
    expected = [(f"is not {seconds}", f"{seconds}, such as 10")] * 3
    expected.append(("is not the address of a Hub", "the address of a Hub, such as https://huggingface.co"))
    assert said == [
        f"{name} {what}\n  expected: {right}\n  found: {name}={value}\n  what to do: correct or unset {name}"
        for (name, value), (what, right) in zip(wrong, expected, strict=True)
    ]
    assert root == f"{clean_environ['HF_HOME']}/hub"  # the same process works once the value is corrected


def test_a_variable_that_another_version_of_the_client_parses_is_found_by_its_value() -> None:
    from modelenv.environment.hub_client import unparsable

    error = unparsable(ValueError("invalid literal for int() with base 10: 'many'"), {"HF_HUB_NEWER": "many"})
    assert str(error) == (
        "HF_HUB_NEWER has a value that huggingface_hub cannot parse\n"
        "  found: ValueError: invalid literal for int() with base 10: 'many'\n"
        "  what to do: correct or unset HF_HUB_NEWER"
    )


@pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="this Python can use SOCKS proxies")
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "http_proxy"])
def test_a_socks_proxy_without_its_package(refused: Callable[..., ConfigurationError], name: str) -> None:
    error = refused(**{name: "socks5://user:sesame@127.0.0.1:9"})
    assert str(error) == (
        "a SOCKS proxy needs the package socksio, which is not installed\n"
        f"  found: {name}=socks5://***@127.0.0.1:9\n"
        f"  what to do: pip install socksio, or unset {name}"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("socks4://127.0.0.1:9", "socks4://127.0.0.1:9 (Unknown scheme for proxy URL URL('socks4://127.0.0.1:9'))"),
        ("http://proxy:port", "http://proxy:port (Invalid port: 'port')"),
        ("proxy:port", "proxy:port (Invalid port: 'port')"),
        ("http://[::1", "http://[::1 (Invalid port: ':1')"),
    ],
)
def test_a_malformed_proxy(refused: Callable[..., ConfigurationError], value: str, shown: str) -> None:
    error = refused(HTTPS_PROXY=value)
    assert error.what == "HTTPS_PROXY is not a valid proxy address"
    assert error.expected == "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT"
    assert error.found == f"HTTPS_PROXY={shown}"
    assert error.hint == "correct or unset HTTPS_PROXY"


@pytest.mark.parametrize("value", ["odd://user:{}@proxy:80", "user:{}@proxy:port"])
def test_the_password_of_a_proxy_is_never_shown(refused: Callable[..., ConfigurationError], value: str) -> None:
    error = refused(ALL_PROXY=value.format(PASSWORD))
    assert "***@proxy" in str(error)
    assert "sesame" not in str(error)


def test_certificates_that_cannot_be_read(refused: Callable[..., ConfigurationError], tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert str(refused(SSL_CERT_FILE=str(missing))) == (
        "the certificates in SSL_CERT_FILE cannot be read\n"
        "  expected: a file of certificates in PEM format\n"
        f"  found: SSL_CERT_FILE={missing}: No such file or directory\n"
        "  what to do: correct or unset SSL_CERT_FILE"
    )
    (tmp_path / "text.pem").write_text("no certificate")
    assert "cannot be read" in refused(SSL_CERT_FILE=str(tmp_path / "text.pem")).what


@pytest.mark.parametrize("value", ["127.0.0.1:8080", "", "ftp://hub.example", "hub.example"])
def test_an_endpoint_that_is_not_an_address(refused: Callable[..., ConfigurationError], value: str) -> None:
    error = refused(HF_ENDPOINT=value)
    assert (error.what, error.found) == ("HF_ENDPOINT is not the address of a Hub", f"HF_ENDPOINT={value}")


def test_a_negative_timeout(refused: Callable[..., ConfigurationError]) -> None:
    assert refused(HF_HUB_DOWNLOAD_TIMEOUT="-5").found == "HF_HUB_DOWNLOAD_TIMEOUT=-5"


def test_a_token_that_cannot_be_sent(refused: Callable[..., ConfigurationError], tmp_path: Path) -> None:
    token = "hf_ä" + "b" * 20
    assert str(refused(HF_TOKEN=token)) == (
        "the access token in HF_TOKEN contains characters that are not allowed in a token\n"
        "  expected: letters, digits and underscores, such as hf_...\n"
        "  found: 24 characters in HF_TOKEN\n"
        "  what to do: copy the token into HF_TOKEN again"
    )
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert refused(HF_TOKEN_PATH=str(tmp_path / "token")).found == f"{tmp_path / 'token'}: not text"
    error = refused(HF_TOKEN_PATH=str(tmp_path))
    assert (error.what, error.found) == (
        "the access token file cannot be read", f"{tmp_path}: Is a directory"
    )  # fmt: skip


def test_a_factory_that_fails_is_named(hub: EmbeddedHub, store: Store, new_client: None) -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def fail() -> object:
        raise RuntimeError("no client today")

    set_client_factory(fail)  # type: ignore[arg-type]
    try:
        with pytest.raises(ConfigurationError) as caught:
            find_or_fetch_model(store, REF, Deadline(30))
    finally:
        set_client_factory(default_client_factory)
    assert caught.value.what == "the HTTP client of huggingface_hub cannot be created"
    assert caught.value.found == "RuntimeError: no client today"


def test_loads_without_requests_still_work(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, new_client: None
) -> None:
    from huggingface_hub.utils import close_session

    hub.add(make_model(), "acme/model")
    path = find_or_fetch_model(store, REF, Deadline(30)).path
    close_session()
    hub.clear()
    with environment({"ALL_PROXY": "odd://proxy", "HF_HUB_DOWNLOAD_TIMEOUT": "-5"}):
        assert find_or_fetch_model(store, REF, Deadline(30)).path == path
        with environment({"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelNotFoundError, match="offline mode is on"):
            find_or_fetch_model(store, ModelRef("acme/other"), Deadline(30))
    hub.assert_no_requests()


def test_a_proxy_is_named_if_there_is_no_response(hub: EmbeddedHub, store: Store, new_client: None) -> None:
    hub.stop()
    with environment({"http_proxy": hub.endpoint}), pytest.raises(ModelDownloadError) as caught:
        find_or_fetch_model(store, REF, Deadline(30))
    assert str(caught.value.hint).startswith("check the proxy that http_proxy names, and try again")


def test_a_mistake_in_the_configuration_has_no_fallback(hub: EmbeddedHub, new_client: None, tmp_path: Path) -> None:
    settings = Settings.load(cache_dir=tmp_path / "cache")
    manager = SmartModelManager("local_cache", settings=settings, fallback="mock")
    with environment({"ALL_PROXY": "odd://proxy"}), pytest.raises(ConfigurationError, match="ALL_PROXY"):
        manager.load_model("acme/model", "sentiment")
