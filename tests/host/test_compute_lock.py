"""Who computes for nobody any more is broken off when another waits; who is waited for is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe

import pytest

from modelenv.host.client import HostClient
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.host.serving.compute_lock import AbandonedError, Computing
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model

from ..waiting import wait_until


@pytest.fixture
def line() -> Iterator[tuple[Connection, Connection]]:
    """Both ends of a line: the host's, and the asker's."""
    host, asker = Pipe()
    yield host, asker
    host.close()
    asker.close()


def compute(computing: Computing, asker: Connection, call: Callable[[], object]) -> list[object]:
    """Compute on this thread, and return what came of it."""
    computing.acquire()
    try:
        return [computing.run(asker, call)]
    except AbandonedError as error:
        return [type(error)]
    finally:
        computing.release()


def until(event: threading.Event) -> Callable[[], object]:
    def call() -> str:
        while not event.is_set():
            time.sleep(0.001)
        return "done"

    return call


def run_beside(call: Callable[[], list[object]]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.extend(call()))
    thread.start()
    return thread, results


@pytest.mark.slow
@pytest.mark.parametrize("is_stopped", [False, True], ids=["as it comes", "stopped by careless code"])
def test_the_next_one_breaks_off_what_is_for_nobody(line: tuple[Connection, Connection], is_stopped: bool) -> None:
    computing, (host, asker), begun = Computing(), line, threading.Event()

    def call() -> object:
        begun.set()
        try:
            return until(threading.Event())()
        except BaseException as error:
            if not is_stopped:
                raise
            return type(error)

    thread, results = run_beside(lambda: compute(computing, host, call))
    assert begun.wait(60)
    asker.close()
    assert compute(computing, host, lambda: "next") == ["next"]
    thread.join(60)
    assert results == [AbandonedError]


@pytest.mark.slow
def test_who_is_waited_for_is_left_alone(line: tuple[Connection, Connection]) -> None:
    computing, (host, _), begun, go = Computing(), line, threading.Event(), threading.Event()

    def call() -> object:
        begun.set()
        return until(go)()

    thread, results = run_beside(lambda: compute(computing, host, call))
    assert begun.wait(60)
    other, others = run_beside(lambda: compute(computing, host, lambda: "next"))
    other.join(0.7)  # it has looked several times
    assert other.is_alive()
    go.set()
    thread.join(60)
    other.join(60)
    assert (results, others) == (["done"], ["next"])


@pytest.mark.integration
def test_a_call_that_a_test_gave_up_holds_up_nobody(client: HostClient) -> None:
    def hosted() -> HostedPipeline:
        recipe = recipe_of(
            ModelSpec(tiny_model("text-generation"), "text-generation", {}, model="tiny", device="cpu")
        )
        return HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)

    short = {"max_new_tokens": 3, "do_sample": False}
    expected = hosted()("the market", **short)
    given_up = client.new_connection(hosted()._remote.recipe).connection
    long = {"max_new_tokens": 10_000_000, "min_new_tokens": 10_000_000, "do_sample": False}
    send_call(given_up, hosted(), long)
    wait_until(lambda: status_is_busy(client))
    given_up.close()
    assert hosted()("a market", **short)
    assert hosted()("the market", **short) == expected


def send_call(connection: Connection, pipe: HostedPipeline, kwargs: dict[str, object]) -> None:
    from modelenv.host.messages.call_context import Surroundings
    from modelenv.host.messages.pickling import crossing
    from modelenv.host.messages.protocol import Call

    connection.send_bytes(crossing(Call(pipe._remote.recipe, (), ("the market",), kwargs, Surroundings())))


def status_is_busy(client: HostClient) -> bool:
    status = client.status()
    assert status is not None
    return status.idle_seconds == 0.0
