"""Locked real models are loaded without a request from a filled cache, and verified during the imports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

pytestmark = pytest.mark.integration

NOBODY_LISTENS = "http://127.0.0.1:9"
DECLARATION = '[tool.modelenv.models]\nsentiment = { repo = "acme/sentiment", task = "sentiment" }\n'
LOAD = """
import json, sys
from modelenv import SmartModelManager
manager = SmartModelManager(sys.argv[1])
scores = manager.load_model("sentiment")(["Bitcoin price surge"])[0]
print(json.dumps([row["label"] for row in scores]))
"""
TESTS = """
import pytest

@pytest.mark.integration
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("name", [
    pytest.param("alias", marks=pytest.mark.model("sentiment")),
    pytest.param("repo", marks=pytest.mark.model("acme/sentiment")),  # with the task in the lock
])
def test_real(model, name, number):
    assert model(["Bitcoin price surge"])[0][0]["label"] == "POSITIVE"
"""


@pytest.fixture
def hub(classifier: Path, tmp_path: Path) -> Iterator[EmbeddedHub]:
    shutil.copytree(classifier, tmp_path / "repos" / "sentiment")
    with EmbeddedHub() as hub:
        hub.add(tmp_path / "repos" / "sentiment", "acme/sentiment")
        yield hub


@pytest.fixture
def project(hub: EmbeddedHub, tmp_path: Path, make_environ: Callable[..., dict[str, str]]) -> Callable[..., str]:
    """Runs a program in a project with a lock, after clearing the log of the Hub."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(DECLARATION)
    (folder / "test_service.py").write_text(TESTS)

    def run(*command: str, **variables: str) -> str:
        hub.clear()
        environ = make_environ(
            HF_ENDPOINT=hub.endpoint, MODEL_CACHE_DIR=str(folder / "cache"), OMP_NUM_THREADS="1",
            NO_PROXY="127.0.0.1", MODEL_TIMEOUT="100",
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env={**environ, **variables}, capture_output=True, text=True,
            timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "modelenv", "lock")
    return run


def requested(hub: EmbeddedHub) -> list[tuple[str, str]]:
    return sorted((request.method, request.kind) for request in hub.requests)


def test_an_empty_cache_takes_one_request_per_file_and_a_filled_one_none(
    hub: EmbeddedHub, project: Callable[..., str], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "project" / "cache")
    labels = json.loads(project("-c", LOAD, "local_cache"))
    assert sorted(labels) == ["NEGATIVE", "NEUTRAL", "POSITIVE"]
    locked = (tmp_path / "project" / "modelenv.lock").read_text().count("sha256 =")
    assert requested(hub) == [("GET", "resolve")] * locked
    project("-c", LOAD, "local_cache")
    hub.assert_no_requests()
    project("-c", LOAD, "local_cache", HF_ENDPOINT=NOBODY_LISTENS)


@pytest.mark.parametrize("workers", ["0", "4"])
def test_tests_with_a_lock_and_a_filled_cache_make_no_request(
    hub: EmbeddedHub, project: Callable[..., str], workers: str
) -> None:
    project("-m", "modelenv", "pull")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--real-models", "-n", workers)
    assert "16 passed" in project(*command)
    hub.assert_no_requests()
    assert "16 passed" in project(*command, HF_ENDPOINT=NOBODY_LISTENS)


def test_pytest_loads_the_models_that_pull_downloaded_into_the_projects_cache(
    hub: EmbeddedHub, project: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.rmtree(folder / "cache")
    (folder / "pyproject.toml").write_text(f'[tool.modelenv]\ncache_dir = "models"\n{DECLARATION}')
    project("-m", "modelenv", "pull", MODEL_CACHE_DIR="")
    assert (folder / "models" / "models--acme--sentiment").is_dir()
    output = project("-m", "pytest", "--real-models", "-k", "alias", MODEL_CACHE_DIR="", HF_ENDPOINT=NOBODY_LISTENS)
    assert "8 passed" in output
    assert f"cache {folder}/models ([tool.modelenv] in {folder}/pyproject.toml)" in output
    assert "acme/sentiment: cached, 0 requests to the Hub; " in output


def test_a_volume_is_verified_and_loads_without_the_project(
    hub: EmbeddedHub, project: Callable[..., str], tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    project("-m", "modelenv", "pull", "--to", str(volume))
    for path in (tmp_path / "project").glob("*.lock"):
        path.unlink()
    assert "POSITIVE" in project("-c", LOAD, "persistent_volume", MODEL_VOLUME_DIR=str(volume))
    hub.assert_no_requests()


def test_libraries_are_imported_while_files_are_hashed(tmp_path: Path, clean_environ: dict[str, str]) -> None:
    code = """
import sys, threading
from modelenv.loading.choose_folder import _import_during_hashing
_import_during_hashing(1)
assert "torch" not in sys.modules and threading.active_count() == 1
_import_during_hashing(1 << 30)
[thread] = [thread for thread in threading.enumerate() if thread.name == "modelenv-import"]
assert not thread.daemon
thread.join(200)
print("transformers" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environ, capture_output=True, text=True, timeout=250, cwd=tmp_path
    )
    assert done.stdout == "True\n", done.stderr
