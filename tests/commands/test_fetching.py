"""`modelenv pull` and `pull --to`, and loading what they fetched."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.locks.project_lock import read_lockfile

from ..terminals import read_terminal
from ..waiting import wait_until
from .conftest import Project

FILES = ("config.json", "model.safetensors", "tokenizer.json")


@pytest.mark.slow
def test_pull_fetches_each_file_once(locked: Project) -> None:
    lines = locked.lines("pull")
    # The files that `lock` had to hash are already in the cache.
    assert locked.asked() == [("GET", "resolve", "model.safetensors")] * 2
    assert lines == [
        "first: fetched, 134 B in 1 request",
        "second: fetched, 134 B in 1 request",
        "PROJECT/cache: 2 models, 2 fetched, 268 B",
    ]
    locked.hub.stop()
    assert locked.lines("pull")[-1] == "PROJECT/cache: 2 models, 0 fetched, 0 B"


def test_pull_into_an_empty_cache_requests_only_files(locked: Project, tmp_path: Path) -> None:
    rows = locked.json("pull", "--cache-dir", str(tmp_path / "other"))["models"]
    assert [(row["alias"], row["fetched"], row["requests"]) for row in rows] == [
        ("first", True, 3),
        ("second", True, 3),
    ]
    requests = [(each.method, each.kind, each.file) for each in locked.hub.requests]  # no other kinds of request
    assert sorted(requests) == sorted(("GET", "resolve", name) for name in FILES * 2)


@pytest.mark.slow
def test_pull_of_models_that_are_not_locked(project: Project) -> None:
    assert project.lines("pull", "second")[0].startswith("second: fetched, ")
    assert {kind for _, kind, _ in project.asked()} >= {"info", "tree"}
    assert project.lines("pull", "acme/second")[0] == "second: in the cache"
    assert "unknown model name" in project.run("pull", "third", code=1)


def test_patterns_of_files_need_a_lock(project: Project) -> None:
    path = project.folder / "pyproject.toml"
    path.write_text(path.read_text() + 'third = { repo = "acme/first", files = ["*.json", "onnx/*"] }\n')
    assert project.lines("pull", code=1) == [
        "error: third: not locked, and its `files` patterns are resolved only by the lock",
        "  found: *.json, onnx/*",
        "  what to do: run `modelenv lock` first",
    ]
    assert project.asked() == []


@pytest.mark.slow
def test_a_model_completed_without_requests_counts_as_cached(filled: Project) -> None:
    [link] = (filled.cache / "models--acme--first/snapshots").glob("*/config.json")
    link.unlink()
    assert filled.lines("pull")[::2] == ["first: in the cache", "PROJECT/cache: 2 models, 0 fetched, 0 B"]


@pytest.mark.slow
def test_pull_to_fills_a_volume_that_a_manager_reads(locked: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    assert locked.lines("pull", "--to", str(volume)) == [
        "first: acme/first, copied",
        "second: acme/second, copied",
        f"{volume}: 2 models, metadata written",
    ]
    assert json.loads(locked.run("env", "--json", MODEL_VOLUME_DIR=str(volume)))["source"] == "persistent_volume"
    locked.push("second", newer=True)
    locked.run("lock", "--upgrade")
    said = locked.json("pull", "--to", str(volume))
    commit = read_lockfile(locked.folder / "modelenv.lock").models[1].commit
    assert said["folders"] == {"first": "acme/first", "second": f"acme/second@{commit[:12]}"}
    assert (said["copied"], said["removed"]) == (["second"], [])
    assert locked.lines("pull", "--to", str(volume))[-1] == f"{volume}: 2 models, metadata unchanged"
    locked.push("second", newest=True)
    locked.run("lock", "--upgrade")
    assert "removed acme/second, which is no longer used" in locked.lines("pull", "--to", str(volume))
    locked.run("pull", "first", "--to", str(volume), code=2)


@pytest.mark.slow
def test_two_projects_and_one_volume(locked: Project, tmp_path: Path) -> None:
    volume = str(tmp_path / "volume")
    locked.run("pull", "--to", volume)
    other = replace(locked, folder=tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "pyproject.toml").write_text('[tool.modelenv.models]\nmine = "acme/second"\n')
    other.run("lock")
    refused = other.lines("pull", "--to", volume, code=1)[1:]  # after the progress output
    assert refused[0] == "error: the volume has models that this lock does not name"
    assert refused[2] == "  found: first (acme/first), second (acme/second)"
    assert "--add" in refused[3]
    assert "--replace" in refused[3]
    assert other.json("pull", "--to", volume, code=1)["error"]["type"] == "ConfigurationError"
    assert other.lines("pull", "--to", volume, "--add") == [
        "first: acme/first, unchanged",
        "mine: acme/second, unchanged",
        "second: acme/second, unchanged",
        f"{volume}: 3 models, metadata written",
    ]
    assert "all fine" in locked.run("verify", "--volume", volume)
    assert other.lines("prune", "--volume", volume) == [f"{volume}: nothing to remove"]
    assert other.lines("pull", "--to", volume, "--replace") == [
        "mine: acme/second, unchanged",
        "first: acme/first was dropped from this volume",
        "second: acme/second was dropped from this volume",
        f"{volume}: 1 model, metadata written",
    ]
    assert other.lines("prune", "--volume", volume)[0] == f"removed {volume}/acme/first"


@pytest.mark.slow
def test_files_that_transformers_does_not_load_are_pulled_too(project: Project, tmp_path: Path) -> None:
    (project.repos / "first/onnx").mkdir()
    (project.repos / "first/onnx/model.onnx").write_bytes(b"weights for another program")
    project.push("first")
    declared = '{ repo = "acme/first", files = ["*.json", "onnx/*"], task = "sentiment" }'
    (project.folder / "pyproject.toml").write_text(
        f"[tool.modelenv.models]\nonnx = {declared}\nsecond = 'acme/second'\n"
    )
    project.run("lock")
    project.run("pull")
    assert "all fine" in project.run("verify")
    project.run("pull", "--to", str(tmp_path / "volume"))
    assert (tmp_path / "volume/acme/first/onnx/model.onnx").exists()
    said = load(project, "persistent_volume", "onnx", MODEL_VOLUME_DIR=str(tmp_path / "volume"))
    what = "acme/first: it contains ONNX files, which no transformers pipeline loads\n"
    assert said.startswith(what)
    assert load(project, "local_cache", "onnx").startswith(what)


def test_pull_without_declared_models(project: Project, tmp_path: Path) -> None:
    (project.folder / "pyproject.toml").write_text("")
    assert project.lines("pull") == [
        "no models are declared in [tool.modelenv.models] of PROJECT/pyproject.toml or locked in "
        "PROJECT/modelenv.lock",
        "PROJECT/cache: 0 models, 0 fetched, 0 B",
    ]
    (project.folder / "pyproject.toml").unlink()
    assert project.lines("pull", code=1)[0] == "error: no pyproject.toml in this folder or above it"


def on_a_terminal(project: Project, *arguments: str) -> str:
    """Return what a command writes to stderr if that is a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "modelenv", *arguments],
        cwd=project.folder, env={**project.environ, "TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=follower,
    ) as process:  # fmt: skip
        os.close(follower)
        shown = read_terminal(leader)
    assert process.returncode == 0, shown
    return shown


@pytest.mark.slow
def test_progress_is_a_bar_on_a_terminal_and_lines_in_a_pipe(project: Project) -> None:
    assert on_a_terminal(project, "lock").splitlines() == ["first: asking the Hub", "second: asking the Hub"]
    shown = on_a_terminal(project, "pull")
    assert "\x1b[" in shown
    assert "first: acme/first at " in shown
    shown = on_a_terminal(project, "pull", "--to", str(project.folder / "v"), "--cache-dir", "cold")
    assert "filling " in shown
    assert "first: acme/first at " in shown  # fetching into the cache has a bar too
    command = [sys.executable, "-m", "modelenv", "pull"]
    place = {"cwd": project.folder, "env": project.environ}
    done = subprocess.run(command, **place, capture_output=True, text=True, timeout=60, check=True)
    lock = read_lockfile(project.folder / "modelenv.lock")
    assert done.stderr.splitlines() == [f"{each.alias}: {each.repo} at {each.commit[:12]}" for each in lock.models]
    quiet = subprocess.run([*command, "--json"], **place, capture_output=True, text=True, timeout=60, check=True)
    assert quiet.stderr == ""


@pytest.mark.slow
def test_an_interrupted_pull_ends_at_once_and_leaves_no_partial_files(locked: Project) -> None:
    locked.hub.fail(file="model.safetensors", bytes_per_second=0.001)
    arguments = [sys.executable, "-m", "modelenv", "pull", "first", "--cache-dir", str(locked.folder / "new")]
    environ = {**locked.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "3600"}  # no read ends by its own timeout
    with subprocess.Popen(arguments, cwd=locked.folder, env=environ, stderr=subprocess.PIPE, text=True) as pull:
        wait_until(lambda: "model.safetensors" in [request.file for request in locked.hub.requests])
        pull.send_signal(signal.SIGINT)
        _, said = pull.communicate(timeout=250)  # the first byte comes after a quarter of an hour
    assert pull.returncode == 130, said
    assert [path.name for path in (locked.folder / "new").rglob("*.incomplete")] == []


FAKE = """
import json, sys
from modelenv import SmartModelManager
from modelenv.fakes import fake_pipeline
fakes = [SmartModelManager("mock_models").load_model("first")]
fakes += [fake_pipeline("sentiment", model=name) for name in ("first", "acme/first", "acme/unlocked")]
answers = [fake("text") for fake in fakes]
assert answers[0] == answers[1] == answers[2]
print(json.dumps([[sorted(row["label"] for row in answer[0]) for answer in answers],
                  [name for name in ("torch", "transformers", "huggingface_hub") if name in sys.modules]]))
"""


def test_a_fake_of_a_locked_model_has_its_labels(locked: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAKE],
        cwd=locked.folder,
        env=locked.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    locked_labels, default_labels = ["BAD", "GOOD"], ["NEGATIVE", "NEUTRAL", "POSITIVE"]
    assert json.loads(done.stdout) == [[locked_labels] * 3 + [default_labels], []], done.stderr


LOAD = """
import sys
from modelenv import SmartModelManager
from modelenv.errors import ModelEnvError
try:
    SmartModelManager(sys.argv[1]).load_model(sys.argv[2], "sentiment")
except ModelEnvError as error:
    print(error)
"""


def load(project: Project, source: str, name: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, source, name],
        cwd=project.folder, env={**project.environ, **variables}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_nothing_is_loaded_from_a_volume_that_does_not_match_the_lock(locked: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    locked.run("pull", "--to", str(volume))
    (volume / "acme/first/tokenizer.json").write_text("[]")
    said = load(locked, "persistent_volume", "first", MODEL_VOLUME_DIR=str(volume))
    assert said.startswith("acme/first: its files do not match the lock: 1 changed\n")
    locked.push("second", newer=True)
    locked.run("lock", "--upgrade", "second")
    said = load(locked, "persistent_volume", "second", MODEL_VOLUME_DIR=str(volume))
    assert said.startswith("acme/second: the volume has a different commit than the lock\n")
    (volume / "model-metadata.yaml").unlink()
    for name in ("first", "acme/first", "acme/unknown"):
        said = load(locked, "persistent_volume", name, MODEL_VOLUME_DIR=str(volume))
        assert ": the volume is incomplete: it has no metadata from modelenv\n" in said, said


def test_a_lock_of_another_declaration_is_an_error(locked: Project) -> None:
    path = locked.folder / "pyproject.toml"
    path.write_text(path.read_text().replace("acme/second", "acme/first"))
    held = read_lockfile(locked.folder / "modelenv.lock").models[1].repo
    message = [
        "PROJECT/modelenv.lock: the lock was made from another declaration of 'second'",
        "  expected: acme/first, as in PROJECT/pyproject.toml",
        f"  found: {held}",
        "  what to do: run `modelenv lock` and commit the result",
    ]
    assert load(locked, "local_cache", "second").replace(str(locked.folder), "PROJECT").splitlines() == message
    for arguments in (("second",), ("--to", "volume")):
        said = locked.lines("pull", *arguments, code=1)
        assert said == [f"error: {message[0]}", *message[1:]]
    assert locked.asked() == []
