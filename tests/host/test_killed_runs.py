"""Runs whose hosts are killed, and runs that are killed: a short form of `python -m tests.host.kills`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from modelenv.host.folder import HostFolder

from ..waiting import is_running, wait_until
from .kills import TESTS, lay_out, processes_of, run_and_kill

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("killed"))


def test_a_run_whose_hosts_are_killed_reports_the_right_outcomes(project: Path) -> None:
    run = run_and_kill(project, 0, Random(7), kills=3, workers=2)
    assert run.wrong == ()
    assert run.kills == 3
    assert run.passed + run.ended == TESTS
    assert run.passed > 0


def test_a_wrong_result_is_detected(project: Path) -> None:
    """The harness can fail: with a wrong expectation, each test of that model is reported."""
    expected = project / "expected.json"
    right = expected.read_text()
    expected.write_text(right.replace("POSITIVE", "BULLISH", 1))
    try:
        run = run_and_kill(project, 1, Random(7), kills=0, workers=2)
    finally:
        expected.write_text(right)
    assert (len(run.wrong), run.passed, run.ended) == (TESTS // 2, TESTS // 2, 0)


def test_a_killed_run_leaves_nothing(project: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, time, pytest\n"
        "from pathlib import Path\n"
        "@pytest.mark.integration\n"
        "@pytest.mark.model('acme/tiny-0', 'text-classification')\n"
        "@pytest.mark.parametrize('number', range(8))\n"
        "def test(model, number):\n"
        "    model('x')\n"
        "    Path(f'worker-{os.getpid()}').touch()\n"
        "    while not Path('over').exists():\n"  # so that no worker ends because its tests are done
        "        model('x')\n"
        "        time.sleep(0.1)\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n4", "--real-models", "--model-host=run"]
    command += ["--model-source=local_cache", f"--model-cache-dir={project / 'models'}"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary), "MODEL_TIMEOUT": "200"},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("worker-*"))) == 4)
        workers = [int(path.name.removeprefix("worker-")) for path in tmp_path.glob("worker-*")]
        assert len(list(processes_of(temporary))) == 1
        (run,) = temporary.glob("modelenv-run-*")
        socket = HostFolder(run / "host").socket
        assert socket.is_socket()
        process.kill()
        process.wait()
        wait_until(lambda: not list(processes_of(temporary)))
        wait_until(lambda: not any(is_running(pid) for pid in workers))
        wait_until(lambda: not list(temporary.glob("modelenv-*")))
        assert not socket.exists()
        assert not socket.parent.exists()
    finally:
        process.kill()
        process.wait()
        (tmp_path / "over").touch()
