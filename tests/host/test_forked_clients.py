"""A forked child asks the host over connections of its own, and leaves those of its parent alone."""

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


def test_the_child_and_the_parent_are_answered(client: HostClient, hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    parents = client._lines.line.connection.fileno()

    def ask() -> tuple[Any, bool]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(parents)
        return hosted(TEXT), client._started == []

    assert in_child(ask) == (before, True)
    assert hosted(TEXT) == before


def test_the_child_asks_while_another_thread_of_the_parent_does(hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    asked, over, answers = threading.Event(), threading.Event(), []

    def texts() -> Iterator[str]:
        asked.set()
        assert over.wait(SECONDS)
        yield TEXT

    thread = threading.Thread(target=lambda: answers.extend(hosted(texts())))
    thread.start()
    assert asked.wait(SECONDS)
    assert in_child(lambda: hosted(TEXT)) == before
    over.set()
    thread.join(SECONDS)
    assert answers == before


def test_a_stream_that_the_parent_began_is_closed_in_the_child(hosted: HostedPipeline) -> None:
    before = hosted(TEXT)
    results = iter(hosted(text for text in (TEXT, TEXT)))
    assert [next(results)] == before

    def message() -> str:
        with pytest.raises(ModelHostError) as caught:
            next(results)
        return str(caught.value)

    assert in_child(message) == (
        "acme/sentiment: the connection to the model host is closed\n"
        "  found: a stream of results that was broken off, or that another process began before it was forked\n"
        "  what to do: call the pipeline again in this process"
    )
    assert list(results) == before
