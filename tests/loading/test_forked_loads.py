"""A process forks at any moment of a load in another thread, and both parent and child load the model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

from ..forking import SECONDS

pytestmark = pytest.mark.integration

# A moment is a number of imports, or of calls of Python functions, in the loading thread. No pipeline is called: the
# linear algebra of torch (MKL) can hang in a child, no matter which process loaded the model; see docs/deploy.md.
_BEGINNING = """
import os, signal, sys, tempfile, threading
from modelenv import SmartModelManager

main, counted, reached = threading.get_ident(), [0, 0], threading.Event()

def count():
    counted[0] += 1
    if counted[0] == counted[1]:
        reached.set()

def load():
    return manager.load_model("acme/m", "text-classification", timeout=300)

def labels():
    return sorted(load().model.config.label2id)

def fork_at(moment):
    global manager
    manager = SmartModelManager()
    counted[:] = [0, moment]
    reached.clear()
    def load_here():
        try:
            load()
        finally:
            reached.set()  # at the latest here
    thread = threading.Thread(target=load_here)
    thread.start()
    reached.wait(300)
    child = os.fork()
    if not child:
        try:
            sys.setprofile(None)
            threading.setprofile(None)
            signal.alarm(120)  # only a hang takes this long
            os._exit(0 if "POSITIVE" in labels() else 3)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(4)
    thread.join(300)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(*labels(), "child ended with", code, "at", moment, "of", counted[0])
"""
_WHILE_IMPORTING = """
def note(event, _):
    if event == "import" and threading.get_ident() != main:
        count()

sys.addaudithook(note)
fork_at(int(sys.argv[1]))
"""
_WHILE_LOADING = """
def note(frame, event, _):
    if event == "call":
        count()

threading.setprofile(note)
fork_at(0)
fork_at(0)  # the first call has imported the modules of this kind of model
calls = counted[0]
for number in range(25):
    fork_at(1 + calls * number // 25)
"""
_WHILE_FETCHING = """
def note(frame, event, _):
    if event == "call":
        count()

def with_new_cache(moment):
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MODEL_CACHE_DIR"] = folder
        fork_at(moment)

threading.setprofile(note)
with_new_cache(0)
with_new_cache(0)
calls = counted[0]
for number in range(10):
    with_new_cache(1 + calls * number // 10)
"""
Fork = Callable[..., list[str]]


@pytest.fixture
def fork(classifier: Path, tmp_path: Path, make_environ: Callable[..., dict[str, str]]) -> Fork:
    """Runs a program that forks, and returns the lines of its output."""
    shutil.copytree(classifier, tmp_path / "acme" / "m")

    def run(program: str, *arguments: object, **variables: str) -> list[str]:
        environ = make_environ(MODEL_VOLUME_DIR=str(tmp_path), **{"MODEL_SOURCE": "persistent_volume", **variables})
        command = [sys.executable, "-W", "ignore", "-c", _BEGINNING + program, *map(str, arguments)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=5 * SECONDS, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("moment", [1, 50, 300, 400, 1500])
def test_while_the_libraries_are_imported(fork: Fork, moment: int) -> None:
    (line,) = fork(_WHILE_IMPORTING, moment)
    assert line.startswith(f"NEGATIVE NEUTRAL POSITIVE child ended with 0 at {moment} of ")


def test_while_the_model_is_loaded(fork: Fork) -> None:
    lines = fork(_WHILE_LOADING)
    assert [line.partition(" at ")[0] for line in lines] == ["NEGATIVE NEUTRAL POSITIVE child ended with 0"] * 27


def test_while_the_model_is_fetched(fork: Fork, classifier: Path) -> None:
    with EmbeddedHub() as hub:
        hub.add(classifier, "acme/m")
        lines = fork(_WHILE_FETCHING, MODEL_SOURCE="download_on_demand", HF_ENDPOINT=hub.endpoint)
    assert [line.partition(" at ")[0] for line in lines] == ["NEGATIVE NEUTRAL POSITIVE child ended with 0"] * 12
