"""A worker that is killed during a download, with real models under pytest-xdist."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

from ..waiting import wait_until
from .projects import N2, REAL, summary_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def hub(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedHub]:
    """A Hub outside of the run that serves the classifier to it."""
    with EmbeddedHub() as running:
        running.add(classifier, "acme/crypto")
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setenv("MODEL_TIMEOUT", "200")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        yield running


# Once the weights arrive, kill the worker that has the unfinished file open. The file is named by a sha256.
KILLED_CONFTEST = """
import os
import pathlib
import re
import signal
import threading
import time

def target(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:  # another thread has closed it
        return ""

def receives_weights():
    targets = [target(name) for name in os.listdir("/proc/self/fd")]
    return any(re.search(r"[0-9a-f]{64}\\S*\\.incomplete$", each) for each in targets)

def kill_once():
    while not os.path.exists("killed"):
        if os.path.exists("weights-come") and receives_weights():
            pathlib.Path("killed").write_text(os.environ["PYTEST_XDIST_WORKER"])
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)

def pytest_sessionstart(session):
    if hasattr(session.config, "workerinput"):
        threading.Thread(target=kill_once, daemon=True).start()
"""
KILLED = """
import pytest

@pytest.mark.integration
@pytest.mark.model("acme/crypto", "text-classification")
@pytest.mark.parametrize("number", range(6))
def test_real(model, number):
    assert [answer["label"] for answer in model(["bitcoin price surge", "bitcoin price crash"])] == [
        "POSITIVE", "NEGATIVE"
    ]
"""


def tell_when_weights_come(hub: EmbeddedHub, told: Path) -> None:
    wait_until(lambda: any(each.body_bytes for each in hub.requests if each.file == "model.safetensors"))
    told.touch()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker that downloads by /proc")
def test_a_worker_killed_in_the_download(
    run_program: Callable[..., pytest.RunResult], project: pytest.Pytester, hub: EmbeddedHub, classifier: Path
) -> None:
    hub.fail(bytes_per_second=6_000, method="GET", kind="resolve", file="model.safetensors", times=1)
    project.makeconftest(KILLED_CONFTEST)
    project.makepyfile(KILLED)
    telling = threading.Thread(target=tell_when_weights_come, args=(hub, project.path / "weights-come"))
    telling.start()
    result = run_program(*N2, *REAL, "-p", "no:faulthandler")
    telling.join()
    result.assert_outcomes(failed=1, passed=5)
    killed = (project.path / "killed").read_text()
    result.stdout.fnmatch_lines([f"*worker '{killed}' crashed while running 'test_*.py::test_real*"])
    (line,) = summary_of(result)
    assert line.startswith("acme/crypto: fetched by gw")
    assert killed not in line
    weights = (classifier / "model.safetensors").stat().st_size
    broken_off, whole = (
        request for request in hub.requests if request.method == "GET" and request.file == "model.safetensors"
    )
    assert 0 < broken_off.body_bytes < weights
    assert whole.body_bytes > 0
