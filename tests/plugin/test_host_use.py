"""When a run has a host, what the host prepares, and a host that does not answer at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelenv.host.kept_hosts import kept_hosts

from ..waiting import is_running, wait_until
from .projects import WITHOUT_XDIST

pytestmark = pytest.mark.integration

TESTS = """
import pytest

def marked(name):
    return lambda test: pytest.mark.integration(pytest.mark.model(name, "text-classification")(test))

@marked("acme/one")
def test_one(model):
    assert model("bitcoin price surge")[0]["label"] == "POSITIVE"

@pytest.mark.skipif(True, reason="never")
@marked("acme/missing")
def test_skipped(model): pass

@pytest.mark.skip
@marked("acme/missing")
def test_skipped_always(model): pass
"""


@pytest.fixture
def project(project: pytest.Pytester, classifier: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two models in its cache. Its kept hosts are separate from those of this machine."""
    for name in ("one", "two"):
        shutil.copytree(classifier, project.path / "models" / "acme" / name)
    for name, value in {
        "MODEL_CACHE_DIR": str(project.path / "models"),
        "MODEL_SOURCE": "local_cache",
        "MODEL_TIMEOUT": "200",
        "OMP_NUM_THREADS": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "TMPDIR": str(project.mkdir("t")),
    }.items():
        monkeypatch.setenv(name, value)
    project.makepyfile(test_it=TESTS)
    return project


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("--real-models", *arguments, timeout=200)


def test_models_of_skipped_tests_are_not_prepared(project: pytest.Pytester) -> None:
    result = run(project)
    result.assert_outcomes(passed=1, skipped=2)
    assert "acme/missing" not in result.stdout.str()


@pytest.mark.parametrize("option", ["--collect-only", "--help", "--markers", "--fixtures", "--setup-plan"])
def test_a_run_without_tests_has_no_host(project: pytest.Pytester, option: str) -> None:
    assert run(project, option).ret == pytest.ExitCode.OK
    assert not list((project.path / "t").iterdir())


def test_a_kept_host_uses_the_limit_of_the_run(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr("tempfile.tempdir", str(project.path / "t"))
    try:
        for memory in ("1G", "500M"):
            run(project, "--model-host=keep", f"--model-memory={memory}", *WITHOUT_XDIST).assert_outcomes(
                passed=1, skipped=2
            )
            [(_, status)] = kept_hosts()
            limits.append(status.memory)
    finally:
        for client, _ in kept_hosts():
            client.stop()
    assert limits == [1 << 30, 500 << 20]


STOPS = """
import os
import signal
import pytest
from pathlib import Path
import modelenv.host.client

@pytest.mark.integration
@pytest.mark.model("acme/one", "text-classification")
def test_one(model):
    model("x")
    [folder] = Path(os.environ["TMPDIR"]).glob("modelenv-run-*/host")
    pid = modelenv.host.client.HostClient(modelenv.host.folder.HostFolder(folder)).status().pid
    modelenv.host.client._ANSWER_SECONDS = 0.5
    os.kill(pid, signal.SIGSTOP)
    Path("pid").write_text(str(pid))
"""


def test_a_host_that_does_not_answer_at_the_end_is_reported_and_killed(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=STOPS)
    result = run(project)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["the model host: failed: the model host does not answer"])
    pid = int((project.path / "pid").read_text())
    wait_until(lambda: not is_running(pid))
    assert not list((project.path / "t").glob("modelenv-run-*"))
