"""Imports do not count for deadlines, and the error of a deadline shows what took the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from modelenv import deadlines
from modelenv.deadlines import BUILDING, FETCHING, IMPORTING, Deadline, Stages, imports_not_counted
from modelenv.loading import build
from modelenv.loading.cache import PipelineCache, PipelineKey
from modelenv.references import ModelRef

from .forking import SECONDS, held_elsewhere, in_child
from .waiting import wait_until

KEY = PipelineKey.of(ModelRef("acme/model"), "text-classification", "local_cache", "/store", {})


def wait_out(deadline: Deadline) -> None:
    """Return when the seconds of the deadline have passed, whether they counted or not."""
    end = time.monotonic() + deadline.seconds
    wait_until(lambda: time.monotonic() > end)


def ticking(*moments: float) -> Stages:
    """Stages whose clock returns these moments."""
    clock: Iterator[float] = iter(moments)
    return Stages(lambda: next(clock))


def test_a_deadline_passes() -> None:
    deadline = Deadline(0.05)
    wait_out(deadline)
    assert deadline.remaining == 0
    assert not deadline.until(lambda _: False)
    assert deadline.until(lambda _: True)


def test_imports_do_not_count_for_deadlines() -> None:
    with imports_not_counted(), imports_not_counted():
        deadline = Deadline(0.05)
        wait_out(Deadline(0.2))
        wait_until(lambda: deadline.remaining > 0)
    wait_until(lambda: deadline.remaining == 0)


def test_an_import_that_does_not_end_counts_after_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "IMPORT_SECONDS", 0.05)
    deadline = Deadline(0.05)
    with imports_not_counted():
        wait_until(lambda: deadline.remaining == 0)


def test_a_wait_continues_while_the_clock_is_stopped() -> None:
    deadline, asked = Deadline(0.02), []

    def wait(seconds: float) -> bool:
        asked.append(seconds)
        time.sleep(seconds)
        return len(asked) == 10

    with imports_not_counted():
        assert deadline.until(wait)


def test_an_import_by_another_load_does_not_count() -> None:
    cache, begun, imported = PipelineCache(), threading.Event(), threading.Event()

    def work(_: object) -> str:
        with imports_not_counted():
            begun.set()
            assert imported.wait(SECONDS)
        return "pipeline"

    patient = threading.Thread(target=cache.get, args=(KEY, work, Deadline(SECONDS)))
    patient.start()
    assert begun.wait(SECONDS)
    short = Deadline(0.05)
    threading.Timer(0.2, imported.set).start()
    assert cache.get(KEY, work, short) == "pipeline"
    patient.join(SECONDS)


def test_the_clocks_are_stopped_while_the_libraries_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_import() -> None:
        deadline = Deadline(0.05)
        wait_out(Deadline(0.2))
        wait_until(lambda: deadline.remaining > 0)

    monkeypatch.setattr(build, "_imported", [])
    monkeypatch.setattr(build, "_import_transformers", slow_import)
    build.import_libraries()
    assert build._imported == [True]


def test_the_error_shows_what_took_the_time() -> None:
    stages = ticking(0, 0, 1.2, 2, 2.04, 12, 30)
    stages.enter("looking")
    with stages.doing(FETCHING):
        pass
    stages.enter("hashing")
    stages.enter(BUILDING)
    error = Deadline(30, stages).passed("acme/model", BUILDING)
    assert str(error) == (
        "acme/model: not loaded within 30 s\n"
        "  found: still building the pipeline; so far 1.2 s looking, 0.8 s fetching its files, 10.0 s hashing, "
        "18.0 s building the pipeline\n"
        "  what to do: give it more time with MODEL_TIMEOUT=<seconds> or load_model(..., timeout=<seconds>)"
    )


def test_the_error_shows_the_imports_that_do_not_count() -> None:
    deadline = Deadline(0.01, ticking(0, 0, 3))
    with imports_not_counted():
        wait_out(Deadline(0.1))
    deadline.stages.enter(IMPORTING)
    found = deadline.passed("acme/model", IMPORTING).found
    assert found is not None
    counted, _, rest = found.partition(" (not counting 0.")
    assert counted == "still importing torch and transformers; so far 3.0 s importing torch and transformers"
    assert rest.endswith(" s for the import of torch and transformers)")


def test_short_stages_are_not_shown() -> None:
    assert Deadline(1).passed("acme/model", "waiting").found == "still waiting"


def test_an_import_in_another_thread_ends_in_a_forked_child() -> None:
    def passes() -> float:
        deadline = Deadline(0.01)
        wait_out(deadline)
        return deadline.remaining

    with held_elsewhere(imports_not_counted()):
        assert in_child(passes) == 0
