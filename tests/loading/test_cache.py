"""Threads and tasks share one load per key. A deadline ends the wait of a caller. A failed load is forgotten."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ModelIntegrityError, ModelLoadTimeoutError
from modelenv.loading.cache import Load, PipelineCache, PipelineKey
from modelenv.references import ModelRef

from ..waiting import wait_until


def key(**arguments: Any) -> PipelineKey:
    return PipelineKey.of(ModelRef("acme/model"), "text-classification", "local_cache", "/store", arguments)


@dataclass(frozen=True)
class Watched(PipelineCache):
    """A cache that counts the callers that have joined a load."""

    joined: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait_for(self, count: int) -> None:
        """Return when `count` more callers have joined."""
        assert all(self.joined.acquire(timeout=60) for _ in range(count))

    def _join(self, key: PipelineKey, work: Callable[[Load], Any], deadline: Deadline) -> Load:
        load = super()._join(key, work, deadline)
        self.joined.release()
        return load


def test_arguments_are_part_of_the_key() -> None:
    assert key(top_k=None) == key(top_k=None)
    assert key(top_k=1) != key(top_k=True) != key(top_k=None)
    assert key(model_kwargs={"a": [1, 2]}) == key(model_kwargs={"a": [1, 2]})
    assert key(model_kwargs={"a": [1, 2]}) != key(model_kwargs={"a": (1, 2)})
    one, other = bytearray(b"x"), bytearray(b"x")
    assert key(thing=one) == key(thing=one) != key(thing=other)


def test_threads_share_one_load() -> None:
    cache, calls = Watched(), []

    def work(load: Load) -> object:
        calls.append(load.model)
        cache.wait_for(16)
        return object()

    def get(_: int) -> object:
        return cache.get(key(), work, Deadline(60))

    with ThreadPoolExecutor(16) as pool:
        pipelines = set(pool.map(get, range(16)))
    assert len(pipelines) == 1
    assert calls == ["acme/model"]


def test_tasks_share_one_load_and_do_not_block_the_event_loop() -> None:
    cache, calls, ticks = PipelineCache(), [], []

    def work(_: Load) -> object:
        calls.append(1)
        wait_until(lambda: len(ticks) >= 10)
        return object()

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.005)

    async def main() -> set[object]:
        ticker = asyncio.create_task(tick())
        pipelines = await asyncio.gather(*(cache.aget(key(), work, Deadline(60)) for _ in range(50)))
        ticker.cancel()
        return set(pipelines)

    assert len(asyncio.run(main())) == 1
    assert calls == [1]


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_the_deadline_ends_the_wait_and_the_error_names_the_stage(kind: str) -> None:
    cache, staged, release = PipelineCache(), threading.Event(), threading.Event()

    def work(load: Load) -> str:
        load.stages.enter("waiting for the test")
        staged.set()
        release.wait(60)
        return "pipeline"

    def get() -> Any:
        if kind == "thread":
            return cache.get(key(), work, Deadline(0.1))
        return asyncio.run(cache.aget(key(), work, Deadline(0.1)))

    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(cache.get, key(), work, Deadline(100))
        assert staged.wait(60)
        with pytest.raises(ModelLoadTimeoutError) as caught:
            get()
        assert not patient.done()
        release.set()
        assert patient.result(60) == "pipeline"
    what, found, hint = str(caught.value).splitlines()
    assert what == "acme/model: not loaded within 0.1 s"
    assert re.fullmatch(r"  found: still waiting for the test; so far \d\.\d s waiting for the test", found)
    assert (
        hint == "  what to do: give it more time with MODEL_TIMEOUT=<seconds> or load_model(..., timeout=<seconds>)"
    )
    assert cache.get(key(), work, Deadline(60)) == "pipeline"


def test_a_failure_reaches_all_callers_and_is_then_forgotten() -> None:
    cache, outcomes = Watched(), [ModelIntegrityError("broken", model="acme/model"), None]

    def work(_: Load) -> str:
        outcome = outcomes.pop(0)
        if outcome is None:
            return "pipeline"
        cache.wait_for(4)
        raise outcome

    def get(_: int) -> object:
        try:
            return cache.get(key(), work, Deadline(60))
        except ModelIntegrityError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        first = set(pool.map(get, range(4)))
    assert [str(error) for error in first] == ["acme/model: broken"]
    assert cache.get(key(), work, Deadline(60)) == "pipeline"


def test_a_caller_with_a_longer_deadline_tries_again_after_a_shorter_one() -> None:
    cache, calls, deadline = Watched(), [], Deadline(0.05)

    def work(_: Load) -> str:
        calls.append(1)
        if len(calls) == 1:
            cache.wait_for(2)
            wait_until(lambda: not deadline.remaining)
            raise deadline.passed("acme/model", "fetching it")
        return "pipeline"

    with ThreadPoolExecutor(2) as pool:
        short = pool.submit(cache.get, key(), work, deadline)
        long = pool.submit(cache.get, key(), work, Deadline(60))
        assert isinstance(short.exception(60), ModelLoadTimeoutError)
        assert long.result(60) == "pipeline"


def test_a_cancelled_task_does_not_cancel_the_load_of_the_others() -> None:
    cache, calls, release = Watched(), [], threading.Event()

    def work(_: Load) -> str:
        calls.append(1)
        release.wait(60)
        return "pipeline"

    async def main() -> Any:
        impatient = asyncio.create_task(cache.aget(key(), work, Deadline(60)))
        patient = asyncio.create_task(cache.aget(key(), work, Deadline(60)))
        await asyncio.to_thread(cache.wait_for, 2)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        release.set()
        return await patient

    assert asyncio.run(main()) == "pipeline"
    assert calls == [1]


def test_the_failure_of_a_forgotten_load_does_not_remove_the_next_load() -> None:
    cache, begun, release = PipelineCache(), threading.Event(), threading.Event()

    def fails(_: Load) -> str:
        begun.set()
        release.wait(60)
        raise ModelIntegrityError("broken", model="acme/model")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, key(), fails, Deadline(60))
        assert begun.wait(60)
        cache.forget(key())
        assert cache.get(key(), lambda _: "next", Deadline(60)) == "next"
        release.set()
        assert isinstance(first.exception(60), ModelIntegrityError)
    assert cache.get(key(), lambda _: "another", Deadline(60)) == "next"


def test_a_forgotten_load_is_repeated() -> None:
    cache = PipelineCache()
    assert cache.get(key(), lambda _: "one", Deadline(60)) == "one"
    assert list(cache.loads()) == [key()]
    cache.forget(key())
    cache.forget(key())
    assert cache.get(key(), lambda _: "two", Deadline(60)) == "two"
