"""The Job's and the Deployment's very commands, run as their pods would: other user, read-only root, no rights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from modelenv.hub import EmbeddedHub
from modelenv.testing import tiny_model

from .manifests import DEPLOY, Manifest, pod_of, the
from .pods import Pod, unable

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SECONDS = 200
LIMITS = {"OMP_NUM_THREADS": "1", "MODEL_TIMEOUT": str(SECONDS)}
USER = 65532
DENIED = """
import errno, json, os, pathlib
found = {}
for folder in ("/", "/etc", "/service", "/app/models", "/tmp"):
    try:
        pathlib.Path(folder, "probe").write_text("")
        found[folder] = "written"
    except OSError as error:
        found[folder] = errno.errorcode[error.errno]
rights = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps([found, os.getuid(), os.getgroups(), int(rights["CapBnd"], 16), rights["NoNewPrivs"]]))
"""
BY_NAME = """
import json, tomllib
from transformers import pipeline
from modelenv import SmartModelManager

name = tomllib.load(open("pyproject.toml", "rb"))["tool"]["modelenv"]["models"]["stock"]["repo"]
manager = SmartModelManager()
classifiers = pipeline("text-classification", model=name), manager.load_model(name, "text-classification")
print("found:", json.dumps([classify("Bitcoin price surge, a record high")[0]["label"] for classify in classifiers]))
"""


@dataclass(frozen=True)
class Cluster:
    """A Hub with the declared models, and the service with its lock."""

    hub: EmbeddedHub
    service: Path
    work: Path

    def pod(self, manifest: Manifest, claim: Path, name: str, **variables: str) -> Pod:
        spec = pod_of(manifest)
        assert spec is not None
        root = self.work / "roots" / name
        root.mkdir(parents=True, exist_ok=True)
        claim.mkdir(exist_ok=True)
        return Pod(spec, root, self.service, claim, {**LIMITS, **variables})


@pytest.fixture(scope="module")
def cluster(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    work = tmp_path_factory.mktemp("cluster")
    service, served = work / "service", work / "served"
    shutil.copytree(DEPLOY / "service", service, ignore=shutil.ignore_patterns("__pycache__"))
    declared = tomllib.loads((service / "pyproject.toml").read_text())["tool"]["modelenv"]["models"]
    for model in declared.values():
        source = classifier if model["task"] == "sentiment" else tiny_model(model["task"])
        shutil.copytree(source, served / model["repo"])
    with EmbeddedHub(served) as hub:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        lock = [sys.executable, "-m", "modelenv", "lock"]
        variables = {**kept, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(work / "hf"), "HOME": str(work)}
        subprocess.run(lock, cwd=service, env=variables, check=True, timeout=SECONDS)
        found = Cluster(hub, service, work)
        job = found.pod(the("Job", "job"), work / "unused", "probe")
        reason = unable(job, job.spec["containers"][0])
        if reason is not None:
            pytest.skip(f"pods cannot be run here: {reason}")
        yield found


def fill(cluster: Cluster, claim: Path, name: str, variant: str = "job") -> tuple[Pod, list[str]]:
    """Return the Job's pod and the command that runs it, with the network that the Hub needs."""
    pod = cluster.pod(the("Job", variant), claim, name, HF_ENDPOINT=cluster.hub.endpoint)
    pod.let_write()
    [container] = pod.spec["containers"]
    return pod, pod.command(container, container["command"], has_network=True)


def run(command: list[str], code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def volume(cluster: Cluster) -> Path:
    """A volume that the Job has filled; copy it before you change anything in it."""
    claim = cluster.work / "volume"
    run(fill(cluster, claim, "first")[1])
    return claim


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what a write to the folder would change."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (at.st_mode, at.st_ino, at.st_uid, at.st_size, at.st_mtime_ns) for name, at in found.items()}


def server(cluster: Cluster, claim: Path, name: str) -> tuple[Pod, Manifest]:
    pod = cluster.pod(the("Deployment", "job"), claim, name)
    return pod, pod.spec["containers"][0]


def test_the_job_fills_the_volume_for_anybody_to_read(volume: Path, cluster: Cluster) -> None:
    files = [path for path in volume.rglob("*") if ".modelenv" not in path.parts]
    assert (volume / "model-metadata.yaml").is_file()
    assert not [path for path in files if path.is_symlink()]
    assert {path.stat().st_uid for path in files} == {USER}
    for path in files:
        wanted = 0o005 if path.is_dir() else 0o004
        assert path.stat().st_mode & 0o007 == wanted, path


def test_a_second_job_changes_nothing_and_asks_nothing(volume: Path, cluster: Cluster) -> None:
    before = {name: found for name, found in state(volume).items() if ".modelenv" not in name}
    cluster.hub.clear()
    assert "metadata unchanged" in run(fill(cluster, volume, "second")[1])
    cluster.hub.assert_no_requests()
    assert {name: found for name, found in state(volume).items() if ".modelenv" not in name} == before


def test_init_containers_that_start_at_once_fetch_each_file_once(cluster: Cluster) -> None:
    claim = cluster.work / "shared"
    cluster.hub.clear()
    running = []
    for name in ("left", "right"):
        pod = cluster.pod(the("Deployment", "init-container"), claim, name, HF_ENDPOINT=cluster.hub.endpoint)
        pod.let_write()
        [container] = pod.spec["initContainers"]
        command = pod.command(container, container["command"], has_network=True)
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    said = [process.communicate(timeout=SECONDS)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert sorted("metadata written" in text for text in said) == [False, True]
    fetched = [request.path for request in cluster.hub.requests]
    assert len(fetched) == len(set(fetched)) > 0


def test_the_server_has_no_rights_and_one_writable_folder(volume: Path, cluster: Cluster) -> None:
    pod, container = server(cluster, volume, "rights")
    found = run(pod.command(container, ["python", "-c", DENIED], has_network=False))
    read_only = dict.fromkeys(("/", "/etc", "/service", "/app/models"), "EROFS")
    assert json.loads(found) == [{**read_only, "/tmp": "written"}, USER, [], 0, "1"]


@contextmanager
def serving(pod: Pod, container: Manifest) -> Iterator[subprocess.Popen[str]]:
    command = pod.command(container, container["command"], has_network=False)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


def ask(process: subprocess.Popen[str], path: str, question: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Ask the server from within its own network; return the status, 0 for no answer, and the answer."""
    body = None if question is None else json.dumps(question).encode()
    script = (
        "import json, urllib.error, urllib.request\n"
        f"request = urllib.request.Request('http://127.0.0.1:8080{path}', {body!r})\n"
        "try:\n    answer = urllib.request.urlopen(request, timeout=60)\n"
        "except urllib.error.HTTPError as error:\n    answer = error\n"
        "except OSError:\n    print('[0, null]')\n    raise SystemExit\n"
        "print(json.dumps([answer.status, json.loads(answer.read())]))\n"
    )
    command = ["nsenter", "--net", "--target", str(process.pid), sys.executable, "-I", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    code, answer = json.loads(done.stdout)
    return code, answer


def until_ready(process: subprocess.Popen[str], path: str) -> list[int]:
    """Ask until the answer is 200; return the different answers, in their order."""
    codes: list[int] = []
    deadline = time.monotonic() + SECONDS
    while 200 not in codes and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read() if process.stdout else None
        code, _ = ask(process, path)
        codes += [code] if code not in codes[-1:] else []
        time.sleep(0.1)
    return codes


def test_the_server_serves_from_the_read_only_volume(volume: Path, cluster: Cluster) -> None:
    before = state(volume)
    pod, container = server(cluster, volume, "serving")
    probe = replace(pod, root=cluster.work / "roots" / "probe")
    checked = run(probe.command(container, container["startupProbe"]["exec"]["command"], has_network=False))
    assert "3 models, all fine" in checked
    with serving(pod, container) as process:
        assert until_ready(process, container["livenessProbe"]["httpGet"]["path"])[-1] == 200
        codes = until_ready(process, container["readinessProbe"]["httpGet"]["path"])
        assert codes[-1] == 200
        assert set(codes) <= {503, 200}
        _, status = ask(process, "/ready")
        assert (status["environment"], status["root"], status["ready"]) == ("persistent_volume", "/app/models", True)
        assert {model["state"] for model in status["models"]} == {"ready"}
        for text, label in (
            ("Bitcoin price surge, a record high", "POSITIVE"),
            ("panic and huge losses", "NEGATIVE"),
        ):
            code, answer = ask(process, "/judge", {"text": text, "kind": "stock"})
            assert (code, answer["label"]) == (200, label)
        assert ask(process, "/judge", {"text": "x", "kind": "bond"})[0] == 400
        assert ask(process, "/judge", {})[0] == 400
        assert ask(process, "/nowhere")[0] == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert state(volume) == before


def test_with_the_hub_layout_code_that_does_not_use_modelenv_loads_the_locked_models(cluster: Cluster) -> None:
    claim = cluster.work / "hub-layout"
    run(fill(cluster, claim, "filling hub-layout", "hub-layout")[1])
    pod = cluster.pod(the("Deployment", "hub-layout"), claim, "reading hub-layout")
    [container] = pod.spec["containers"]
    probe = pod.command(container, container["startupProbe"]["exec"]["command"], has_network=False)
    assert "3 models, all fine" in run(probe)
    found = run(pod.command(container, ["python", "-c", BY_NAME], has_network=False))
    assert 'found: ["POSITIVE", "POSITIVE"]' in found.splitlines()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(claim: Path) -> None:
    shutil.rmtree(claim)
    claim.mkdir()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda claim: flip(next(claim.glob("distilbert/*/model.safetensors"))), "model.safetensors"),
        (lambda claim: next(claim.glob("distilbert/*/config.json")).unlink(), "config.json"),
        (lambda claim: [shutil.rmtree(folder) for folder in claim.iterdir() if folder.is_dir()], "missing"),
        (empty, "model-metadata.yaml"),
    ],
    ids=["one byte", "a file missing", "no model", "not filled yet"],
)
def test_from_a_damaged_volume_nothing_starts(volume: Path, cluster: Cluster, change: Any, expected: str) -> None:
    claim = cluster.work / "damaged"
    shutil.rmtree(claim, ignore_errors=True)
    shutil.copytree(volume, claim)
    change(claim)
    pod, container = server(cluster, claim, "damaged")
    probe = container["startupProbe"]["exec"]["command"]
    assert expected in run(pod.command(container, probe, has_network=False), code=1)
    said = run(pod.command(container, container["command"], has_network=False), code=1)
    assert "error: " in said
    assert expected in said or "/app/models" in said
