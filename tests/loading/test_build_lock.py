"""One model is built at a time. A build that hangs does not stop others, and its changes are undone."""

from __future__ import annotations

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
    """A default of the whole process that builds change, as real builds change torch's default dtype."""

    value: str = "clean"
    hanging: list[Hanging] = field(default_factory=list)

    def now(self) -> Any:
        return Saved(self, self.value)


@dataclass
class Saved:
    process: Process
    value: str

    def restore(self) -> None:
        self.process.value = self.value


@dataclass
class Hanging:
    """A build that changes the process and runs until `go` is set, without progress or with `moves`."""

    process: Process
    moves: bool = False
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.process.hanging.append(self)

    def __call__(self) -> str:
        before, self.process.value = self.process.value, "changed"
        try:
            self.begun.set()
            depth = 0
            while self.moves and not self.go.is_set():
                depth = (depth + 1) % 100
                self._descend(depth)
            self.go.wait()
            return "late"
        finally:
            self.process.value = before
            self.then()

    def _descend(self, depth: int) -> None:
        """Be at another position each time that the lock checks for progress."""
        time.sleep(0.001) if not depth else self._descend(depth - 1)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def lock(process: Process, monkeypatch: pytest.MonkeyPatch) -> BuildLock:
    monkeypatch.setattr(build_lock, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(build_lock, "_POLL_SECONDS", 0.01)
    return BuildLock(process.now)


@pytest.fixture
def pool(process: Process) -> Iterator[ThreadPoolExecutor]:
    """Threads for builds. Every build is released before the threads are joined, also after a failed test."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
        for build in process.hanging:
            build.go.set()


def expire(deadline: Deadline) -> None:
    """Make a deadline pass now."""
    object.__setattr__(deadline, "_ends", time.monotonic())


def begin(pool: ThreadPoolExecutor, lock: BuildLock, work: Hanging, *, is_late: bool = True) -> Future[str]:
    """Start a build. Its deadline has passed if `is_late`."""
    deadline = Deadline(PATIENT)
    future = pool.submit(lock.build, "acme/hangs", deadline, work)
    assert work.begun.wait(SECONDS)
    if is_late:
        expire(deadline)
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


def test_the_error_of_a_wait_names_the_other_build(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process)
    first = begin(pool, lock, hanging, is_late=False)
    with pytest.raises(ModelLoadTimeoutError, match="still waiting for acme/hangs to be built"):
        lock.build("acme/other", Deadline(SHORT), lambda: None)
    hanging.go.set()
    assert first.result(SECONDS) == "late"


def test_a_late_build_continues_if_no_other_waits(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process)
    first = begin(pool, lock, hanging)
    hanging.go.set()
    assert first.result(SECONDS) == "late"


def test_a_build_without_progress_after_its_deadline_is_abandoned(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process)
    first = begin(pool, lock, hanging)
    for _ in range(2):
        assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"
    assert not first.done()
    hanging.go.set()
    error = first.exception(SECONDS)  # its result is discarded, because others changed the process in the meantime
    assert isinstance(error, ModelLoadTimeoutError)
    assert str(error).startswith(
        "acme/hangs: not loaded within 120 s\n"
        "  found: still building the pipeline, which made no progress, so other builds continued"
    )
    assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"


def test_several_builds_are_abandoned(lock: BuildLock, pool: ThreadPoolExecutor, process: Process) -> None:
    builds = [Hanging(process), Hanging(process)]
    futures = [begin(pool, lock, build) for build in builds]
    assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"
    for build, future in zip(builds, futures, strict=True):
        build.go.set()
        assert isinstance(future.exception(SECONDS), ModelLoadTimeoutError)
    assert process.value == "clean"
    assert lock._clean is None


def test_changes_of_an_abandoned_build_that_resumes_are_undone(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process, then=lambda: setattr(process, "value", "spoilt"))
    first = begin(pool, lock, hanging)
    assert lock.build("acme/next", Deadline(PATIENT), lambda: process.value) == "clean"
    hanging.go.set()
    assert isinstance(first.exception(SECONDS), ModelLoadTimeoutError)
    assert process.value == "clean"


def test_a_build_that_makes_progress_keeps_its_turn(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    """Other builds wait for a slow one, because models that are built at the same time cannot be trusted."""
    hanging = Hanging(process, moves=True)
    first = begin(pool, lock, hanging)
    with pytest.raises(ModelLoadTimeoutError, match="still waiting for acme/hangs to be built"):
        lock.build("acme/next", Deadline(SHORT), lambda: 1)
    hanging.go.set()
    assert first.result(SECONDS) == "late"


@pytest.mark.parametrize("outcome", ["result", "error"])
def test_a_build_that_was_disturbed_is_repeated(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process, outcome: str
) -> None:
    ended = threading.Event()
    hanging = Hanging(process, then=ended.set)
    first = begin(pool, lock, hanging)
    seen: list[str] = []

    def work() -> str:
        process.value = "mine"
        if not seen:
            hanging.go.set()
            assert ended.wait(SECONDS)  # it resumes, and restores the value that it found
        seen.append(process.value)
        process.value = "clean"
        if outcome == "error" and len(seen) == 1:
            raise ValueError("disturbed")
        return seen[-1]

    assert lock.build("acme/next", Deadline(PATIENT), work) == "mine"
    assert seen == ["clean", "mine"]
    assert isinstance(first.exception(SECONDS), ModelLoadTimeoutError)


def test_a_build_that_is_always_disturbed_ends_at_its_deadline(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process
) -> None:
    hanging = Hanging(process)
    begin(pool, lock, hanging)
    deadline = Deadline(PATIENT)

    def work() -> None:
        hanging.go.set()
        wait_until(lambda: not lock._abandoned)
        expire(deadline)

    with pytest.raises(
        ModelLoadTimeoutError, match="still building it again, because another build that had hung resumed"
    ):
        lock.build("acme/next", deadline, work)


def test_the_error_of_a_build_is_raised(lock: BuildLock) -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        lock.build("acme/model", Deadline(PATIENT), fail)
    assert lock.build("acme/model", Deadline(PATIENT), lambda: 1) == 1


def test_an_import_that_hangs_does_not_stop_builds(lock: BuildLock) -> None:
    with held_elsewhere(lock.importing(Deadline(SHORT))):
        assert lock.build("acme/model", Deadline(PATIENT), lambda: 1) == 1


def test_a_fork_waits_for_a_build(lock: BuildLock, pool: ThreadPoolExecutor, process: Process) -> None:
    hanging = Hanging(process)
    first = begin(pool, lock, hanging, is_late=False)
    let_go = pool.submit(lambda: (wait_until(lambda: lock._forks > 0), hanging.go.set()))
    assert in_child(lambda: (process.value, lock.build("acme/model", Deadline(PATIENT), lambda: 1))) == ("clean", 1)
    let_go.result(SECONDS)
    assert first.result(SECONDS) == "late"


@pytest.mark.parametrize("why", ["it is late", "it makes no progress", "it takes too long"])
def test_a_fork_does_not_wait_forever(
    lock: BuildLock, pool: ThreadPoolExecutor, process: Process, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "it makes no progress":
        monkeypatch.setattr(build_lock, "_FORK_IDLE_SECONDS", 0.05)
    if why == "it takes too long":
        monkeypatch.setattr(build_lock, "_FORK_SECONDS", 0.05)
    hanging = Hanging(process, moves=why == "it takes too long")
    first = begin(pool, lock, hanging, is_late=why == "it is late")
    assert in_child(lambda: (process.value, lock.build("acme/model", Deadline(PATIENT), lambda: 1))) == ("clean", 1)
    assert process.value == "changed"
    hanging.go.set()
    assert first.result(SECONDS) == "late"


def test_a_build_that_forks_continues_in_both_processes(lock: BuildLock) -> None:
    def work() -> Any:
        return in_child(lambda: lock._holder is not None and lock._holder.thread == threading.get_ident())

    assert lock.build("acme/model", Deadline(PATIENT), work) is True
    assert lock.build("acme/model", Deadline(PATIENT), lambda: 1) == 1
