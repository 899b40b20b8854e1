"""A host that cannot be started is an error only of the tests that need it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.integration
@pytest.mark.model("acme/model", "text-classification")
def test_real(model):
    model("x")

def test_other():
    pass
"""
NO_PYTHON = """
import sys

def pytest_configure():
    sys.executable = "/nowhere/python"
"""
NO_TEMPORARY_FOLDER = """
import tempfile

def pytest_configure():
    tempfile.tempdir = "/nowhere"
"""


@pytest.fixture
def temporary(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of a run in a separate process. Its models are on a volume."""
    folder = project.mkdir("t")
    monkeypatch.setenv("TMPDIR", str(folder))
    model = project.mkdir("volume") / "acme" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"model_type": "bert"}')
    (model / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (model / "tokenizer.json").write_text("{}")
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(project.path / "volume"))
    project.makepyfile(test_it=TESTS)
    return folder


def run(run_program: Callable[..., pytest.RunResult], *options: str) -> str:
    result = run_program("--real-models", "--model-source=persistent_volume", *options)
    text = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    outcomes = result.parseoutcomes()
    assert (outcomes.get("passed"), outcomes.get("failed", 0) + outcomes.get("errors", 0)) == (1, 1), text
    return text


@pytest.mark.slow
def test_no_process_can_be_started(
    project: pytest.Pytester, temporary: Path, run_program: Callable[..., pytest.RunResult]
) -> None:
    project.makeconftest(NO_PYTHON)
    text = run(run_program, "--model-host=run")
    assert "the model host cannot be started" in text
    assert "found: FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/python'" in text
    hint = "set TMPDIR to a folder that you can write to, or run without the host: --model-host=off"
    assert f"what to do: {hint}" in text


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("level", ["modelenv", "hosts"])
def test_the_folder_of_kept_hosts_belongs_to_another_user(
    temporary: Path, run_program: Callable[..., pytest.RunResult], level: str
) -> None:
    ours = temporary / f"modelenv-{os.getuid()}"
    theirs = ours if level == "modelenv" else ours / "hosts"
    theirs.mkdir(parents=True)
    os.chown(theirs, 65534, 65534)
    text = run(run_program, "--model-host=keep")
    assert "the model host's folder is not private" in text
    assert f"found: {theirs}, of user 65534" in text
    assert list(theirs.iterdir()) == []


def test_no_temporary_folder_can_be_made(
    project: pytest.Pytester, temporary: Path, run_program: Callable[..., pytest.RunResult]
) -> None:
    project.makeconftest(NO_TEMPORARY_FOLDER)
    result = run_program("--real-models", "--model-host=off")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: modelenv needs a writable temporary folder: *No such file or directory: '/nowhere/*"]
    )
