"""`--model-host`: one process holds the real models of a run, and the workers never import torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

from ..waiting import wait_until
from .projects import N2, NO_XDIST, WITHOUT_XDIST, header_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TESTS = """
import sys
import pytest
from modelenv import ModelNotFoundError, SmartModelManager

LABELS = ["POSITIVE", "NEGATIVE"]

@pytest.mark.integration
@pytest.mark.model("acme/sentiment", "text-classification")
@pytest.mark.parametrize("number", range(4))
def test_held(model, number):
    assert [row["label"] for row in model(["bitcoin price surge", "bitcoin price crash"])] == LABELS
    assert model("bitcoin price surge")[0]["label"] == "POSITIVE"
    assert "torch" not in sys.modules

@pytest.mark.integration
async def test_of_the_service():
    manager = SmartModelManager()
    model = await manager.aload_model("acme/sentiment", "text-classification")
    assert model("bitcoin price surge")[0]["label"] == "POSITIVE"
    assert "torch" not in sys.modules

def test_fake(model_manager):
    assert model_manager.environment == "mock_models"

@pytest.mark.integration
@pytest.mark.model("acme/missing", "text-classification")
@pytest.mark.parametrize("number", range(2))
@pytest.mark.xfail(raises=ModelNotFoundError, strict=True)
def test_missing(model, number):
    pass
"""


@pytest.fixture
def hub(classifier: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub() as running:
        running.add(classifier, "acme/sentiment")
        yield running


@pytest.fixture
def project(project: pytest.Pytester, hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MODEL_TIMEOUT", "200")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TMPDIR", str(project.mkdir("t")))  # not a kept host of another run
    project.makepyfile(test_it=TESTS)
    return project


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    plugins = (
        "-p",
        "pytest_asyncio.plugin",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
    )
    return project.runpytest_subprocess(*plugins, "--real-models", *arguments, timeout=200)


def hosts(project: pytest.Pytester) -> list[int]:
    """Return the hosts of the project's runs."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if str(project.path) in command_of(pid) and "modelenv.host" in command_of(pid)]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize("mode", [NO_XDIST, N2], ids=["no-xdist", "n2"])
def test_one_process_loads_the_models_for_all_workers(
    project: pytest.Pytester, hub: EmbeddedHub, mode: tuple[str, ...]
) -> None:
    result = run(project, *mode)
    result.assert_outcomes(passed=6, xfailed=2)
    assert header_of(result).endswith("held by one process (default)")
    result.stdout.fnmatch_lines(
        [
            "acme/missing: failed: the Hub has no model with this name, or the model is private",
            "acme/sentiment: fetched*(4 files, *loaded in * s",  # by the host, or by a test that was faster
        ]
    )
    sent = [(request.method, request.file) for request in hub.requests if request.file is not None]
    assert len(sent) == len(set(sent))
    assert len([request for request in hub.requests if request.repo_id == "acme/missing"]) == 1
    wait_until(lambda: hosts(project) == [])


def test_a_kept_host_serves_the_next_run_without_a_hub(project: pytest.Pytester, hub: EmbeddedHub) -> None:
    try:
        run(project, "--model-host=keep", "-k", "held").assert_outcomes(passed=4, deselected=4)
        (pid,) = hosts(project)
        hub.stop()
        result = run(project, "--model-host=keep", "-k", "held", *WITHOUT_XDIST)
        result.assert_outcomes(passed=4, deselected=4)
        assert hosts(project) == [pid]
        result.stdout.fnmatch_lines(
            ["acme/sentiment: *; held by the model host, *", "acme/sentiment: * answers of earlier calls reused"]
        )
        verbs = [sys.executable, "-m", "modelenv", "host"]
        status = subprocess.run([*verbs, "status"], capture_output=True, text=True, timeout=60, check=True)
        assert status.stdout.startswith(f"process {pid} holds acme/sentiment (text-classification); idle for ")
        stopped = subprocess.run([*verbs, "stop"], capture_output=True, text=True, timeout=60, check=True)
        assert stopped.stdout == f"stopping process {pid}\n"
        wait_until(lambda: hosts(project) == [])
        none = subprocess.run([*verbs, "status"], capture_output=True, text=True, timeout=60, check=True)
        assert none.stdout == "no kept hosts\n"
    finally:
        for host in hosts(project):
            os.kill(host, signal.SIGKILL)


def test_a_kept_host_does_not_use_the_hub_of_an_earlier_run(
    project: pytest.Pytester, hub: EmbeddedHub, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        run(project, "--model-host=keep", "-k", "held").assert_outcomes(passed=4, deselected=4)
        first, pid = len(hub.requests), hosts(project)
        hub.stop()
        with EmbeddedHub() as other:
            other.add(classifier, "acme/other")
            monkeypatch.setenv("HF_ENDPOINT", other.endpoint)
            monkeypatch.setenv("MODEL_CACHE_DIR", str(project.path / "elsewhere"))
            project.makepyfile(test_it=TESTS.replace("acme/sentiment", "acme/other"))
            result = run(project, "--model-host=keep", "-k", "held", *N2)
            result.assert_outcomes(passed=4)
            result.stdout.fnmatch_lines(
                [
                    "acme/other: fetched by gw*; held by the model host, *",
                    "acme/other: * answers of earlier calls reused",
                ]
            )
        assert hosts(project) == pid
        assert len(hub.requests) == first
        assert (project.path / "elsewhere" / "models--acme--other").is_dir()
    finally:
        for host in hosts(project):
            os.kill(host, signal.SIGKILL)


def test_a_killed_run_leaves_no_host(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="import os, signal, pytest\n"
        "@pytest.mark.integration\n"
        "@pytest.mark.model('acme/sentiment', 'text-classification')\n"
        "def test(model):\n"
        "    model('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = project.runpytest_subprocess("--real-models", "--model-host=run", timeout=200)
    assert result.ret == -signal.SIGKILL
    wait_until(lambda: hosts(project) == [])
    wait_until(lambda: not list((project.path / "t").rglob("socket")))


def test_a_test_can_have_the_model_in_its_own_process(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="import pytest\n"
        "@pytest.mark.integration(host=False)\n"
        "@pytest.mark.model('acme/sentiment', 'text-classification')\n"
        "def test_own(model):\n"
        "    assert model.__class__.__module__.startswith('transformers')\n"
        "@pytest.mark.integration\n"
        "@pytest.mark.model('acme/sentiment', 'text-classification')\n"
        "@pytest.mark.parametrize('number', range(2))\n"
        "def test_hook(model, number):\n"
        "    assert model.model.config.id2label[0] == 'POSITIVE'\n"
        "    model.model.config.id2label = {0: 'A', 1: 'B', 2: 'C'}\n"
    )
    result = project.runpytest_subprocess("--real-models", "--model-host=run", timeout=200)
    result.assert_outcomes(passed=3)
    reason = "its attribute 'model.config.id2label' was set"
    result.stdout.fnmatch_lines([f"acme/sentiment: also loaded in the process of the test: {reason}"])


def test_an_unknown_mode_is_a_usage_error(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--real-models", "--model-host=always")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--model-host: 'always' is not a mode; choose one of off, run, keep" in result.stderr.str()
