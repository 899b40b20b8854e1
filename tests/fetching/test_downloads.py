"""Downloads under single faults of the Hub: their requests and their errors."""

from __future__ import annotations

import logging
import re
import socket
import threading
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.errors import ModelDownloadError, ModelEnvError, ModelIntegrityError, ModelLoadTimeoutError
from modelenv.fetching.failures import FailureLog
from modelenv.fetching.retries import RetryPolicy
from modelenv.fetching.snapshot import fetch
from modelenv.hub import EmbeddedHub
from modelenv.hub.faults.rules import RuleFields
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store

from ..waiting import wait_until
from .conftest import MakeModel

REF = ModelRef("acme/model")
QUICK = RetryPolicy(first=0.01)
TOKEN = "hf_" + "DownloadSecret" * 2


def failed(hub: EmbeddedHub, store: Store, make_model: MakeModel, **rule: object) -> ModelEnvError:
    """Return the error of a download with this fault."""
    hub.add(make_model(), "acme/model")
    hub.fail(**rule)  # type: ignore[arg-type]
    with pytest.raises(ModelEnvError) as caught:
        fetch(store, REF, Deadline(20), policy=QUICK)
    return caught.value


def shown(hub: EmbeddedHub, method: str, suffix: str) -> list[str]:
    return [
        f"{asked.status} {asked.range}"
        for asked in hub.requests
        if asked.method == method and asked.path.endswith(suffix)
    ]


@pytest.mark.slow
def test_info_and_listing_wait_as_the_server_asks(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add(make_model(), "acme/model")
    waits = [hub.fail(status=429, headers={"Retry-After": "1"}, kind=kind, times=1) for kind in ("info", "tree")]
    with caplog.at_level(logging.INFO, logger="modelenv"):
        fetch(store, REF, Deadline(60))
    assert [float(each) >= 1 for each in re.findall(r"429 .*; trying again in ([\d.]+) s", caplog.text)] == [
        True,
        True,
    ]
    assert [wait.fired for wait in waits] == [1, 1]


@pytest.mark.slow
def test_a_large_file_that_breaks_off_is_resumed(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    source = make_model(weights=25_000_000)
    hub.add(source, "acme/model")
    hub.fail(cut_after=13_000_000, file="*.safetensors", nth=1)
    hub.fail(reset=True, cut_after=13_000_000, file="*.safetensors", nth=1)
    path = find_or_fetch_model(store, REF, Deadline(60)).path
    assert (path / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    # The client writes in steps of 10 MiB.
    assert shown(hub, "GET", "model.safetensors")[:2] == ["200 None", "206 bytes=10485760-"]


def test_a_503_is_given_up_with_a_count(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    error = failed(hub, store, make_model, status=503)
    assert str(error).splitlines() == [
        f"acme/model: could not be fetched from {hub.endpoint}",
        "  found: 503 Service Unavailable for GET /api/models/acme/model, 6 times",
        "  what to do: the Hub has a problem (https://status.huggingface.co): try again later",
    ]
    assert len(hub.requests) == 6


def test_too_many_requests_without_a_retry_after(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    error = failed(hub, store, make_model, status=429, kind="resolve")
    assert "429 Too Many Requests for HEAD /acme/model/resolve/" in str(error)
    assert "too many requests from here: try again in a few minutes; with a token (HF_TOKEN)" in str(error)


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (
            {"status": 403, "kind": "resolve"},
            ["the Hub refuses access", "check that the token in HF_TOKEN has permission"],
        ),
        ({"status": 401, "message": "no"}, ["the Hub does not accept the access token", "it may have expired"]),
        (
            {"redirect_loop": True, "kind": "resolve"},
            [" redirects too many times", "check HF_ENDPOINT, and the proxies"],
        ),
        ({"redirect_loop": True, "kind": "info"}, [" redirects too many times", "TooManyRedirects: Exceeded"]),
        (
            {"length_off_by": -1, "file": "*.safetensors"},
            ["a file's size does not match the size that the Hub reported, twice"],
        ),
        ({"flip_byte": 0, "kind": "info"}, ["could not be fetched from", "found: UnicodeDecodeError"]),
        ({"status": 418}, ["could not be fetched from", "418"]),
    ],
)
def test_each_cause_has_its_own_error(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, rule: RuleFields, lines: list[str]
) -> None:
    error = failed(hub, store, make_model, **rule)
    assert type(error) is ModelDownloadError
    for line in lines:
        assert line in str(error)


def test_an_expired_token_is_reported_and_never_shown(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    with environment({"HF_TOKEN": TOKEN}):
        error = failed(hub, store, make_model, expired_token=True)
    assert "the Hub does not accept the access token" in str(error)
    assert TOKEN not in repr(vars(error))
    hub.clear_faults()
    assert fetch(store, REF, Deadline(20)).files == 3


@pytest.mark.parametrize("secret", [TOKEN, "another-kind-of-secret"])
def test_secrets_in_redirects_and_headers_are_not_shown(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{hub.endpoint}/acme/model/resolve/main/nothing.txt?X-Amz-Signature={secret}&token={secret}"
    headers = {"Location": url, "X-Error-Message": f"Bearer {secret} is wrong", "X-Request-Id": "1"}
    with environment({"HF_TOKEN": secret}), caplog.at_level(logging.INFO, logger="modelenv"):
        error = failed(hub, store, make_model, status=302, headers=headers, method="GET", file="*.safetensors")
    assert any(request.path.endswith(f"token={secret}") for request in hub.requests)
    assert secret not in str(error) + repr(vars(error)) + caplog.text
    assert "acme/model" in str(error)


def test_a_damaged_file_is_fetched_again_once(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    hub.add(make_model(), "acme/model")
    fault = hub.fail(flip_byte=70, file="*.safetensors", times=1)
    obtained = find_or_fetch_model(store, REF, Deadline(20))
    assert fault.fired == 1
    assert obtained.fetched is not None
    assert obtained.fetched.requests == len(hub.requests) == 8 + 3  # info, and HEAD and GET of the file
    hub.clear()
    assert find_or_fetch_model(store, REF, Deadline(20)).fetched is None
    hub.assert_no_requests()


def test_a_file_that_stays_damaged_is_not_kept(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    hub.add(make_model(), "acme/model")
    with hub.fail(flip_byte=70, file="*.safetensors"), pytest.raises(ModelIntegrityError) as caught:
        find_or_fetch_model(store, REF, Deadline(20))
    lines = str(caught.value).splitlines()
    [aside] = (store.root / ".locks/modelenv/damaged/models--acme--model").iterdir()
    assert lines[0] == "acme/model: 1 file of the model arrived damaged twice"
    assert lines[2:] == [
        f"  found: other content, set aside as {aside}",
        "  what to do: try again later; if that does not help, the Hub, a proxy or a mirror changes the files",
    ]
    assert not any(path.stat().st_size > 100 for path in store.root.glob("models--*/blobs/*"))
    assert find_or_fetch_model(store, REF, Deadline(20)).fetched is not None


def test_a_listing_that_lacks_a_file_is_an_error(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    source = make_model()
    hub.add(source, "acme/model")
    (source.parent / "other").mkdir()
    (source.parent / "other" / "config.json").write_bytes((source / "config.json").read_bytes())
    hub.add(source.parent / "other", "acme/other")
    elsewhere = {"Location": "/api/models/acme/other/tree/main?recursive=true"}
    hub.fail(status=302, headers=elsewhere, kind="tree", repo="acme/model", times=1)
    with pytest.raises(ModelIntegrityError) as caught:
        find_or_fetch_model(store, REF, Deadline(20))
    assert str(caught.value).splitlines() == [
        "acme/model: the Hub's listing lacks 2 of its files",
        "  expected: config.json, model.safetensors, tokenizer.json",
        "  found: no model.safetensors",
        "  what to do: try again in a new process, which requests the listing again",
    ]
    assert not list(store.root.glob("models--*/trees/*"))


def test_a_waiting_process_fails_with_the_error_of_the_fetching_one(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, tmp_path: Path
) -> None:
    failures = FailureLog(tmp_path / "run")
    failures.remember(REF, ModelDownloadError("broken", model="acme/model", found="503", hint="later"), Deadline(1))
    with store.lock(REF, Deadline(5)), pytest.raises(ModelDownloadError, match="acme/model: broken"):
        find_or_fetch_model(store, REF, Deadline(0.2), failures=failures)
    with (
        store.lock(REF, Deadline(5)),
        pytest.raises(ModelLoadTimeoutError, match=r"not loaded within 0\.2 s"),
    ):
        find_or_fetch_model(store, REF, Deadline(0.2), failures=FailureLog(tmp_path / "other"))


@pytest.mark.slow
def test_a_hub_that_comes_back_is_used(store: Store, hub: EmbeddedHub, make_model: MakeModel) -> None:
    hub.add(make_model(), "acme/model")
    hub.fail(refuse=1, times=1, kind="tree")
    assert fetch(store, REF, Deadline(20)).files == 3


@pytest.mark.slow
def test_an_unreachable_hub_is_reported_long_before_the_deadline(hub: EmbeddedHub, store: Store) -> None:
    hub.stop()
    deadline = Deadline(3600)
    with pytest.raises(ModelDownloadError, match="Connection refused for GET /api/models/acme/model, 3 times"):
        fetch(store, REF, deadline)
    assert deadline.remaining > 0


def test_a_server_that_never_responds_ends_at_the_deadline(store: Store, tmp_path: Path) -> None:
    import huggingface_hub.hf_api  # noqa: F401 - the import takes longer than this deadline

    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # Without this variable the client makes one request per process to identify itself, outside of any download.
        variables = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
        with environment(variables), pytest.raises(ModelLoadTimeoutError):
            fetch(store, REF, Deadline(0.5))  # the client alone would wait forever


@pytest.mark.slow
def test_a_client_that_replaces_a_closed_one_is_monitored(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    from huggingface_hub.utils import close_session

    hub.add(make_model(), "acme/model")
    hub.fail(delay=1, kind="info", times=1)
    hub.fail(status=503, kind="tree", times=1)

    def close_while_it_asks() -> None:
        wait_until(lambda: bool(hub.requests))
        close_session()

    closer = threading.Thread(target=close_while_it_asks)
    closer.start()
    try:
        fetched = fetch(store, REF, Deadline(60), policy=RetryPolicy(first=0.5))
    finally:
        closer.join()
    assert fetched.requests >= 8
    assert len(list(fetched.found.path.iterdir())) == 3
