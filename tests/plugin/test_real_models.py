"""Whole runs with a real classifier, fetched from the embedded Hub by the real client."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from modelenv.hub import EmbeddedHub

from .projects import N2, N4, REAL, WITHOUT_XDIST, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    RunTests = Callable[..., pytest.RunResult]

# Each worker of an inner run imports torch, which is slow on a machine with few cores.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MODELS = ("acme/crypto", "acme/stock")


@pytest.fixture
def hub(classifier: Path) -> Iterator[EmbeddedHub]:
    """A Hub outside of the run that serves the classifier under two names."""
    with EmbeddedHub() as running:
        for name in MODELS:
            running.add(classifier, name)
        yield running


@pytest.fixture
def project(project: pytest.Pytester, hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project that uses the embedded Hub and has no models yet."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MODEL_TIMEOUT", "200")  # the first load imports torch
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # otherwise the workers' threads wait for each other
    return project


def contents_sent(hub: EmbeddedHub) -> Counter[tuple[str | None, str | None]]:
    """Return how often the content of each file was requested."""
    return Counter(
        (request.repo_id, request.file)
        for request in hub.requests
        if request.method == "GET" and request.kind == "resolve" and request.status in (200, 206)
    )


EVERY_WORKER = """
import pytest
from modelenv import ModelSource, model_manager

@pytest.mark.integration
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("name", ["acme/crypto", "acme/stock"])
def test_real(name, number):
    assert model_manager.environment is ModelSource.DOWNLOAD_ON_DEMAND
    classify = model_manager.load_model(name, "text-classification")
    answers = classify(["bitcoin price surge", "bitcoin price crash"])
    assert [answer["label"] for answer in answers] == ["POSITIVE", "NEGATIVE"]
"""
LONE_DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
for name in sys.argv[1:]:
    snapshot_download(name)
"""


def test_four_workers_fetch_once_and_then_never_again(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, make_environ: Callable[..., dict[str, str]]
) -> None:
    environ = make_environ(HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_TELEMETRY="1")
    subprocess.run([sys.executable, "-c", LONE_DOWNLOAD, *MODELS], env=environ, check=True, timeout=60)
    lone_requests, lone_contents = len(hub.requests), contents_sent(hub)
    hub.clear()

    project.makepyfile(EVERY_WORKER)
    result = run_program(*N4, *REAL)
    result.assert_outcomes(passed=8)
    contents = contents_sent(hub)
    assert contents == lone_contents
    assert set(contents.values()) == {1}
    assert len(hub.requests) <= lone_requests
    for line in summary_of(result):
        assert ": fetched by gw" in line
        assert f"({len(contents) // 2} files, " in line
        assert "; loaded by " in line
    assert [line.partition(":")[0] for line in summary_of(result)] == list(MODELS)
    counted = sum(int(line.split(" requests to the Hub")[0].split(", ")[-1]) for line in summary_of(result))
    assert counted == len(hub.requests)

    hub.clear()
    hub.stop()
    result = run_program(*N2, *REAL)
    result.assert_outcomes(passed=8)
    assert hub.requests == ()
    for line in summary_of(result):
        assert ": cached, 0 requests to the Hub; loaded by " in line


MISSING = """
import pytest

@pytest.mark.integration
@pytest.mark.model("acme/missing", "text-classification")
@pytest.mark.parametrize("number", range(8))
def test_missing(model, number):
    pass
"""


def test_a_missing_model_is_requested_once(run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub) -> None:
    project.makepyfile(MISSING)
    result = run_program(*N4, *REAL)
    result.assert_outcomes(errors=8)
    error = "E * acme/missing: the Hub has no model with this name, or the model is private"
    result.stdout.fnmatch_lines([error] * 8)
    assert summary_of(result) == [
        "acme/missing: failed: the Hub has no model with this name, or the model is private"
    ]
    assert [str(request.repo_id) for request in hub.requests] == ["acme/missing"]


MIXED = """
import os
import pathlib
import pytest
from modelenv import SmartModelManager, detect_environment, model_manager

SOURCE = os.environ["EXPECTED_SOURCE"]
TEXTS = ["bitcoin price surge", "bitcoin price crash", "the meeting is on monday"]
LABELS = ["POSITIVE", "NEGATIVE", "NEUTRAL"]
SEEN = []

def labels(classify):
    return [answer["label"] for answer in classify(TEXTS)]

def is_fake(classify):
    return classify.__class__.__module__.startswith("modelenv.fakes")

@pytest.mark.model("acme/crypto", task="text-classification")
class TestEachRung:
    def test_unmarked(self, model):
        assert detect_environment() == model_manager.environment == "mock_models"
        assert is_fake(model)
        assert is_fake(model_manager.load_model("acme/crypto", "text-classification"))

    @pytest.mark.integration
    @pytest.mark.parametrize("number", [1, 2])
    def test_integration(self, model, model_manager, number):
        assert detect_environment() == model_manager.environment == SOURCE
        assert labels(model) == LABELS
        SEEN.append(model)
        assert all(seen.model is model.model for seen in SEEN), "loaded once per worker"

    def test_unmarked_again(self, model):
        assert is_fake(model)

    @pytest.mark.integration
    def test_fakes_inside(self, mock_models, model):
        assert is_fake(model)

    def test_real_inside(self, real_models, model):
        assert labels(model) == LABELS

@pytest.mark.integration
@pytest.mark.asyncio
async def test_async():
    assert labels(await model_manager.aload_model("acme/crypto", "text-classification")) == LABELS

@pytest.mark.asyncio
async def test_async_unmarked():
    assert is_fake(await model_manager.aload_model("acme/crypto", "text-classification"))

@pytest.mark.integration
def test_a_fallback_never_stands_in():
    manager = SmartModelManager(fallback="mock")
    with pytest.raises(FileNotFoundError):
        manager.load_model("acme/missing", "text-classification")

@pytest.mark.integration
def test_a_hub_of_its_own(model_hub, model_env, model_cache_dir):
    model_hub.add(pathlib.Path(os.environ["CLASSIFIER"]), "acme/private")
    model_env("download_on_demand")
    assert labels(model_manager.load_model("acme/private", "text-classification")) == LABELS
    assert model_hub.requests
    assert not list(model_cache_dir.rglob("*private*"))
"""


@pytest.mark.parametrize(
    ("mode", "source"),
    [
        (WITHOUT_XDIST, "download_on_demand"),
        (N2, "download_on_demand"),
        (WITHOUT_XDIST, "local_cache"),
        (WITHOUT_XDIST, "huggingface_hub"),
        (WITHOUT_XDIST, "persistent_volume"),
    ],
)
def test_real_models_and_fakes_in_one_run(
    run_program: RunTests,
    project: pytest.Pytester,
    hub: EmbeddedHub,
    classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: tuple[str, ...],
    source: str,
) -> None:
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nasyncio_default_fixture_loop_scope = function\n")
    volume = project.mkdir("volume")

    shutil.copytree(classifier, volume / "acme" / "crypto")
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(volume))
    monkeypatch.setenv("EXPECTED_SOURCE", source)
    monkeypatch.setenv("CLASSIFIER", str(classifier))
    project.makepyfile(MIXED)
    result = run_program(*mode, "-p", "pytest_asyncio.plugin", *REAL, "--model-source", source)
    result.assert_outcomes(passed=10)
    failed = "not in this store" if source == "persistent_volume" else "the Hub has no model with this name"
    crypto, missing = summary_of(result)
    assert crypto.startswith(
        "acme/crypto: cached, 0 requests" if source == "persistent_volume" else "acme/crypto: fetched"
    )
    assert missing.startswith(f"acme/missing: failed: {failed}")
    result.stdout.no_fnmatch_line("*acme/private*")
    if source == "local_cache":
        assert (project.path / "model_cache" / "models--acme--crypto").is_dir()
