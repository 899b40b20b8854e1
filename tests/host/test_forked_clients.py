"""A forked child uses its own connections to the host, and does not touch those of its parent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modelenv import ModelHostError
from modelenv.host.client import HostClient
from modelenv.host.messages.protocol import Recipe
from modelenv.host.proxy import HostedPipeline

from ..forking import SECONDS, in_child

pytestmark = pytest.mark.integration

TEXT = "Bitcoin price surge"


@pytest.fixture
def hosted(client: HostClient, recipe: Recipe) -> HostedPipeline:
    return HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)


def test_child_and_parent_get_their_answers(client: HostClient, hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    parents = client._of_thread.host.connection.fileno()

    def call() -> tuple[Any, bool]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(parents)
        return hosted(TEXT), client._started == []

    assert in_child(call) == (before, True)
    assert hosted(TEXT) == before


def test_a_child_can_call_while_another_thread_of_the_parent_does(hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    started, over, answers = threading.Event(), threading.Event(), []

    def texts() -> Iterator[str]:
        started.set()
        assert over.wait(SECONDS)
        yield TEXT

    thread = threading.Thread(target=lambda: answers.extend(hosted(texts())))
    thread.start()
    assert started.wait(SECONDS)
    assert in_child(lambda: hosted(TEXT)) == before
    over.set()
    thread.join(SECONDS)
    assert answers == before


def test_a_stream_that_the_parent_started_is_closed_in_the_child(hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    results = iter(hosted(text for text in (TEXT, TEXT)))
    assert [next(results)] == before

    def message() -> str:
        with pytest.raises(ModelHostError) as caught:
            next(results)
        return str(caught.value)

    assert in_child(message) == (
        "acme/sentiment: the connection to the model host is closed\n"
        "  found: a stream of results that was interrupted, or that the parent process started before a fork\n"
        "  what to do: call the pipeline again in this process"
    )
    assert list(results) == before
