"""Locks, loads and interrupted imports are reset in a forked child. Other objects stay the parent's."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelenv import ConfigurationError, Settings, SmartModelManager, forks
from modelenv.deadlines import Deadline
from modelenv.loading.build import import_libraries
from modelenv.loading.cache import Load, PipelineCache, PipelineKey
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .forking import SECONDS, held_elsewhere, in_child

KEY = PipelineKey.of(ModelRef("acme/model"), "text-classification", "local_cache", "/store", {})


@pytest.mark.parametrize("make", [forks.new_lock, forks.new_rlock])
def test_a_lock_that_another_thread_holds_is_free_in_the_child(make: Callable[[], Any]) -> None:
    lock = make()
    with held_elsewhere(lock):
        assert in_child(lambda: lock.acquire(timeout=SECONDS))
        assert not lock.acquire(blocking=False)


def test_a_property_that_another_thread_computes_is_computed_in_the_child() -> None:
    begun, over, parent = threading.Event(), threading.Event(), os.getpid()

    class Holder:
        @forks.cached_property
        def value(self) -> int:
            if os.getpid() == parent:
                begun.set()
                over.wait(SECONDS)
            return 1

    thread = threading.Thread(target=lambda: Holder().value)
    thread.start()
    assert begun.wait(SECONDS)
    assert in_child(lambda: Holder().value) == 1
    over.set()
    thread.join(SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["concurrent.futures.thread", "logging"])
def test_hooks_that_are_registered_during_the_wait_do_not_release_an_untaken_lock(module: str) -> None:
    program = f"""
import importlib, os
from modelenv import forks

class Owner: pass

owner = Owner()
forks.hold_off(owner, lambda _: importlib.import_module("{module}"), lambda _: None)
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


class Owner:
    """Records the calls of its hooks around a fork."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.pids: set[int] = set()
        forks.at_fork(self, lambda owner: owner.note("child"))
        forks.hold_off(self, lambda owner: owner.note("before"), lambda owner: owner.note("parent"))

    def note(self, hook: str) -> None:
        self.called.append(hook)
        self.pids.add(os.getpid())


def test_each_fork_calls_the_hooks_of_existing_owners() -> None:
    owner, gone = Owner(), Owner()
    called = gone.called
    del gone
    gc.collect()
    assert in_child(lambda: owner.called) == ["before", "child"]
    assert owner.called == ["before", "parent"]
    assert owner.pids == {os.getpid()}
    assert called == []


def test_a_fork_waits_for_a_build_before_hooks_that_take_locks() -> None:
    """The thread that builds might need the locks that the hooks of the standard library and of filelock take."""
    program = (
        "import os\norder = []\n"
        "register = os.register_at_fork\n"
        "def noting(**hooks):\n"
        "    before = hooks.get('before')\n"
        "    if before: hooks['before'] = lambda: (order.append(before.__module__ or 'a lock'), before())\n"
        "    register(**hooks)\n"
        "os.register_at_fork = noting\n"
        "from modelenv.loading import build\n"
        "build._import_transformers = lambda: None\n"
        "build.import_libraries()\n"
        "child = os.fork()\nif not child: os._exit(0)\n"
        "os.waitpid(child, 0)\nprint(*order, sep=',')\n"
    )
    first, *others = output_of(program).strip().split(",")
    assert first == "modelenv.forks"
    assert {"a lock", "filelock._core._fork"} <= set(others)


def test_an_owner_whose_reset_fails_does_not_prevent_the_others() -> None:
    program = (
        "import os, sys\nfrom modelenv import forks\n"
        "class Owner: pass\n"
        "def fail(_): raise ValueError('broken')\n"
        "sys.unraisablehook = lambda each: print(each.exc_value)\n"
        "one, other = Owner(), Owner()\n"
        "forks.at_fork(one, fail)\n"
        "forks.at_fork(other, lambda _: print('called'))\n"
        "child = os.fork()\nif child: os.waitpid(child, 0)\n"
    )
    assert output_of(program) == "called\nbroken\n"


def test_a_running_load_is_forgotten_and_a_loaded_pipeline_stays() -> None:
    cache, begun, over = PipelineCache(), threading.Event(), threading.Event()
    other = PipelineKey.of(ModelRef("acme/other"), "text-classification", "local_cache", "/store", {})
    assert cache.get(other, lambda _: "loaded", Deadline(SECONDS)) == "loaded"

    def work(_: Load) -> str:
        begun.set()
        assert over.wait(SECONDS)
        return "parent's"

    thread = threading.Thread(target=cache.get, args=(KEY, work, Deadline(SECONDS)))
    thread.start()
    assert begun.wait(SECONDS)

    def in_the_child() -> tuple[Any, ...]:
        before = list(cache.loads())
        return before, *(cache.get(key, lambda _: "child's", Deadline(SECONDS)) for key in (KEY, other))

    with held_elsewhere(cache._lock):
        assert in_child(in_the_child) == ([other], "child's", "loaded")
    over.set()
    thread.join(SECONDS)
    assert cache.get(KEY, work, Deadline(SECONDS)) == "parent's"


def test_a_manager_works_in_the_child_even_if_it_was_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SmartModelManager("mock_models", settings=Settings.load(environ={}))
    state = manager._state()

    def label() -> Any:
        fake = manager.load_model("acme/model", "text-classification")
        return fake("Bitcoin price surge")[0]["label"], manager.status().ready

    with held_elsewhere(manager._lock), held_elsewhere(state.lock), held_elsewhere(state.run.hashes._lock):
        assert in_child(label) == (label_of_a_new_manager(), True)


def label_of_a_new_manager() -> str:
    manager = SmartModelManager("mock_models", settings=Settings.load(environ={}))
    label: str = manager.load_model("acme/model", "text-classification")("Bitcoin price surge")[0]["label"]
    return label


def test_locks_of_the_hubs_client_are_free_in_the_child() -> None:
    """A thread that fetches holds them for a moment, and the lock of the client while it creates one."""
    from huggingface_hub.utils import _http, get_session, tqdm

    def use() -> str:
        with tqdm.get_lock():
            return type(get_session()).__name__

    with held_elsewhere(_http._CLIENT_LOCK), held_elsewhere(tqdm.get_lock()):
        assert in_child(use) == "Client"


def test_the_child_does_not_use_connections_of_the_hubs_client() -> None:
    """`huggingface_hub` closes its client in a child, which needs a lock that another thread can hold."""
    from huggingface_hub.utils import get_session

    client = get_session()
    pool: Any = vars(client)["_transport"]._pool
    with held_elsewhere(pool._optional_thread_lock):
        assert in_child(lambda: get_session() is not client)
    assert get_session() is client


class SlowImport:
    """A module `slow_to_import`, whose import waits for the end of the block in the process that created it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._over, self._pid = threading.Event(), threading.Event(), os.getpid()
        (folder / "slow_to_import.py").write_text("import gate\ngate.pass_through()\nvalue = 1\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setitem(sys.modules, "gate", self)
        monkeypatch.delitem(sys.modules, "slow_to_import", raising=False)

    def pass_through(self) -> None:
        if os.getpid() == self._pid:
            self._begun.set()
            self._over.wait(SECONDS)

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=importlib.import_module, args=("slow_to_import",))
        self._thread.start()
        assert self._begun.wait(SECONDS)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(SECONDS)


def test_an_interrupted_import_is_repeated_in_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SlowImport(tmp_path, monkeypatch):
        assert in_child(lambda: importlib.import_module("slow_to_import").value) == 1
    assert importlib.import_module("slow_to_import").value == 1


def test_a_second_import_of_torch_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_IMPORTED_ONCE", {"slow_to_import"})  # in place of torch, which takes seconds

    def message() -> str:
        with pytest.raises(ConfigurationError) as caught:
            import_libraries()
        return str(caught.value)

    monkeypatch.setattr("modelenv.loading.build._imported", [])
    with SlowImport(tmp_path, monkeypatch):
        assert in_child(message) == (
            "torch cannot be used in this process\n"
            "  found: it was forked while another thread was importing slow_to_import\n"
            "  what to do: import torch before starting threads, fork before importing it, "
            "or use the 'spawn' start method"
        )
    assert forks.broken_imports() == frozenset()


def output_of(program: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout


def test_a_child_that_ends_does_not_remove_the_parents_files(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom modelenv.hub.repos.blobs import BlobStore\n"
        "from modelenv.testing import _private_folder\n"
        "store, models = BlobStore(), _private_folder()\n"
        "kept = store.keep_bytes('a', b'content').found.location\n"
        "child = os.fork()\nif not child: sys.exit(0)\n"
        "os.waitpid(child, 0)\nprint(Path(kept).is_file(), Path(models).is_dir(), Path(kept), models)\n"
    )
    blob, models, *paths = output_of(program).split()
    assert (blob, models) == ("True", "True")
    assert not any(Path(path).exists() for path in paths)


def test_the_lock_of_a_model_is_released_when_its_process_dies_even_if_a_child_lives(tmp_path: Path) -> None:
    program = (
        "import os, sys, threading\nfrom pathlib import Path\nfrom modelenv.deadlines import Deadline\n"
        "from modelenv.references import ModelRef\nfrom modelenv.store.store import Store\n"
        "held = threading.Event()\n"
        "def hold():\n"
        "    with Store(Path(sys.argv[1])).lock(ModelRef('acme/model'), Deadline(60)):\n"
        "        held.set()\n"
        "        threading.Event().wait()\n"
        "threading.Thread(target=hold, daemon=True).start()\n"
        "held.wait(60)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait(SECONDS)
        try:
            with Store(tmp_path).lock(ModelRef("acme/model"), Deadline(SECONDS)):
                os.kill(child, 0)  # the child is still running
        finally:
            os.kill(child, signal.SIGKILL)
