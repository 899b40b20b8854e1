"""While a model is built in production, its thread makes no requests to the Hub. Other threads can."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from modelenv.errors import ConfigurationError
from modelenv.fetching.no_hub import no_hub
from modelenv.hub import EmbeddedHub

from .conftest import MakeModel


def ask() -> str:
    from huggingface_hub import HfApi

    return str(HfApi().model_info("acme/model").sha)


def ask_as_a_library_does() -> None:
    try:
        ask()
    except Exception as error:
        raise OSError("cannot connect, check your connection") from error


def test_a_request_is_blocked_before_it_is_sent(hub: EmbeddedHub, make_model: MakeModel) -> None:
    commit = hub.add(make_model(), "acme/model").commit
    with pytest.raises(ConfigurationError) as caught, no_hub("acme/mine"):
        ask()
    assert str(caught.value) == (
        "acme/mine: loading it would make a request to the Hub, which is not allowed in production\n"
        "  found: GET /api/models/acme/model\n"
        "  what to do: pass each part of the pipeline that is not in the model's folder as a folder or as an object"
    )
    hub.assert_no_requests()
    assert ask() == commit


def test_a_library_that_fails_after_a_blocked_request_raises_our_error(hub: EmbeddedHub) -> None:
    with pytest.raises(ConfigurationError, match="loading it would make a request to the Hub"), no_hub("acme/mine"):
        ask_as_a_library_does()
    with no_hub("acme/mine"), suppress(Exception):
        ask()  # the library continues without the result
    with pytest.raises(OSError, match="something else"), no_hub("acme/mine"):
        raise OSError("something else")
    hub.assert_no_requests()


def test_other_threads_can_make_requests(hub: EmbeddedHub, make_model: MakeModel) -> None:
    commit = hub.add(make_model(), "acme/model").commit
    with ThreadPoolExecutor(1) as pool, no_hub("acme/mine"):
        assert pool.submit(ask).result(30) == commit


def test_the_programs_own_client_keeps_its_hooks(hub: EmbeddedHub, make_model: MakeModel) -> None:
    from huggingface_hub.utils import get_session

    hub.add(make_model(), "acme/model")
    seen: list[str] = []
    before = get_session().event_hooks
    get_session().event_hooks = {
        **before,
        "request": [*before["request"], lambda request: seen.append(request.url.path)],
    }
    try:
        for _ in range(2):
            with no_hub("acme/mine"), suppress(ConfigurationError):
                ask()
        ask()
    finally:
        get_session().event_hooks = before
    assert "/api/models/acme/model" in seen
