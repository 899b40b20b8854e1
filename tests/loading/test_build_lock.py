"""One model is built at a time; one that hangs stops no other, and what it changed for the process is put back."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelenv import ModelLoadTimeoutError
from modelenv.deadlines import Deadline
from modelenv.loading import build_lock
from modelenv.loading.build_lock import BuildLock

from ..forking import SECONDS, held_elsewhere, in_child
from ..waiting import wait_until

PATIENT, SHORT = SECONDS, 0.05


@dataclass
class Process:
    """A switch that builds change for the whole process, as the real ones change torch's default dtype."""

    value: str = "clean"

    def now(self) -> Any:
        return Kept(self, self.value)


@dataclass
class Kept:
    process: Process
    value: str

    def put_back(self) -> None:
        self.process.value = self.value


@dataclass
class Hanging:
    """A build that changes the process and then hangs until it is let go; in Python, or in code that is not."""

    process: Process
    in_python: bool
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], None] = lambda: None

    def __call__(self) -> str:
        before, self.process.value = self.process.value, "changed"
        try:
            self.begun.set()
            while self.in_python and not self.go.is_set():
                time.sleep(0.001)
            self.go.wait()
            return "late"
        finally:
            self.process.value = before
            self.then()


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def lock(process: Process, monkeypatch: pytest.MonkeyPatch) -> BuildLock:
    monkeypatch.setattr(build_lock, "_GRACE_SECONDS", 0.05)
    return BuildLock(process.now)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def begin(pool: ThreadPoolExecutor, lock: BuildLock, work: Hanging, seconds: float = SHORT) -> Future[str]:
    future = pool.submit(lock.build, "acme/hangs", Deadline(seconds), work)
    assert work.begun.wait(SECONDS)
    return future


def test_builds_take_turns(lock: BuildLock, pool: ThreadPoolExecutor) -> None:
    at_once: list[int] = []
    most: list[int] = []

    def work() -> None:
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.001)
        at_once.pop()

    list(pool.map(lambda number: lock.build(f"acme/{number}", Deadline(PATIENT), work), range(20)))
    assert set(most) == {1}


def test_who_waits_too_long_is_told_for_what(lock: BuildLock, pool: ThreadPoolExecutor, process: Process) -> None:
    hanging = Hanging(process, in_python=False)
    first = begin(pool, lock, hanging, PATIENT)
    with pytest.raises(ModelLoadTimeoutError, match="still waiting for acme/hangs to be built"):
        lock.build("acme/other", Deadline(SHORT), lambda: None)
    hanging.go.set()
    assert first.result(SECONDS) == "late"


def test_a_build_that_nobody_waits_for_may_go_on(lock: BuildLock, pool: ThreadPoolExecutor, process: Process) -> None:
    hanging = Hanging(process, in_python=True)
    first, late = begin(pool, lock, hanging), Deadline(SHORT)
    wait_until(lambda: not late.remaining)
    hanging.go.set()
    assert first.result(SECONDS) == "late"


def test_a_build_out_of_time_is_broken_off_for_the_next(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    first = begin(pool, lock, Hanging(process, in_python=True))
    assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"
    error = first.exception(SECONDS)
    assert isinstance(error, ModelLoadTimeoutError)
    assert str(error).startswith(
        "acme/hangs: not loaded within 0.05 s\n"
        "  found: still building the pipeline, which was broken off because another model waited for its turn"
    )


def test_what_cannot_be_broken_off_is_left_behind(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process, in_python=False)
    first = begin(pool, lock, hanging)
    for _ in range(2):
        assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"
    assert not first.done()
    hanging.go.set()
    error = first.exception(SECONDS)  # whatever it built, others changed the process meanwhile
    assert isinstance(error, ModelLoadTimeoutError)
    assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"


@pytest.mark.parametrize("outcome", ["result", "error"])
def test_a_build_that_was_disturbed_is_done_again(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process, outcome: str
) -> None:
    ended = threading.Event()
    hanging = Hanging(process, in_python=False, then=ended.set)
    first = begin(pool, lock, hanging)
    seen: list[str] = []

    def work() -> str:
        process.value = "mine"
        if not seen:
            hanging.go.set()
            assert ended.wait(SECONDS)  # it wakes, and puts back what it found
        seen.append(process.value)
        process.value = "clean"
        if outcome == "error" and len(seen) == 1:
            raise ValueError("disturbed")
        return seen[-1]

    assert lock.build("acme/next", Deadline(PATIENT), work) == "mine"
    assert seen == ["clean", "mine"]
    assert isinstance(first.exception(SECONDS), ModelLoadTimeoutError)


def test_a_build_that_is_disturbed_without_end_meets_its_deadline(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process, in_python=False)
    begin(pool, lock, hanging)
    deadline = Deadline(1)

    def work() -> None:
        hanging.go.set()
        wait_until(lambda: not lock._left_behind)
        wait_until(lambda: not deadline.remaining)

    with pytest.raises(ModelLoadTimeoutError, match="still building it again, because builds that had hung went on"):
        lock.build("acme/next", deadline, work)


def test_an_error_of_a_build_is_its_own(lock: BuildLock) -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        lock.build("acme/model", Deadline(PATIENT), fail)
    assert lock.build("acme/model", Deadline(PATIENT), lambda: 1) == 1


def test_an_import_is_never_broken_off(lock: BuildLock, pool: ThreadPoolExecutor) -> None:
    with held_elsewhere(lock.importing(SHORT)):
        assert lock.build("acme/model", Deadline(PATIENT), lambda: 1) == 1


def test_a_fork_waits_for_a_build(lock: BuildLock, pool: ThreadPoolExecutor, process: Process) -> None:
    hanging = Hanging(process, in_python=True)
    first = begin(pool, lock, hanging, PATIENT)
    threading.Timer(0.2, hanging.go.set).start()
    assert in_child(lambda: (process.value, lock.build("acme/model", Deadline(PATIENT), lambda: 1))) == ("clean", 1)
    assert first.result(SECONDS) == "late"


@pytest.mark.parametrize("why", ["it is out of time", "it does not move", "it takes too long"])
def test_a_fork_does_not_wait_for_ever(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_lock, "_LOOK_SECONDS", 0.01)
    if why == "it does not move":
        monkeypatch.setattr(build_lock, "_STANDSTILL_SECONDS", 0.05)
    if why == "it takes too long":
        monkeypatch.setattr(build_lock, "_FORK_SECONDS", 0.05)
    hanging = Hanging(process, in_python=why == "it takes too long")
    first = begin(pool, lock, hanging, SHORT if why == "it is out of time" else PATIENT)
    assert in_child(lambda: (process.value, lock.build("acme/model", Deadline(PATIENT), lambda: 1))) == ("clean", 1)
    assert process.value == "changed"
    hanging.go.set()
    assert first.result(SECONDS) == "late"


def test_a_build_that_forks_goes_on_on_both_sides(lock: BuildLock) -> None:
    def work() -> Any:
        return in_child(lambda: lock._holder is not None and lock._holder.thread == threading.get_ident())

    assert lock.build("acme/model", Deadline(PATIENT), work) is True
    assert lock.build("acme/model", Deadline(PATIENT), lambda: 1) == 1


def test_a_build_is_not_broken_off_in_an_import(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """An import that breaks in the middle may leave a library unusable, so the build is left behind."""
    hanging = Hanging(process, in_python=True)
    (tmp_path / "imported_by_a_build.py").write_text("import hanging_build\nhanging_build()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "hanging_build", hanging)
    monkeypatch.delitem(sys.modules, "imported_by_a_build", raising=False)
    seen: list[str] = []

    def work() -> str:
        import imported_by_a_build  # type: ignore[import-not-found]

        seen.append("imported")
        return str(imported_by_a_build)

    first = pool.submit(lock.build, "acme/hangs", Deadline(SHORT), work)
    assert hanging.begun.wait(SECONDS)
    with pytest.raises(ModelLoadTimeoutError):  # it moves all the time, so that nothing beside it can be trusted
        lock.build("acme/next", Deadline(0.5), lambda: 1)
    assert not first.done()
    hanging.go.set()
    assert isinstance(first.exception(SECONDS), ModelLoadTimeoutError)
    assert seen == ["imported"]
    assert lock.build("acme/next", Deadline(PATIENT), lambda: 1) == 1
