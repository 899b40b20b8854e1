"""The examples: the service's tests, the service as a program, and the errors of the quickstart."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SERVICE = EXAMPLES / "sentiment_service"
SECONDS = 250
NOBODY_LISTENS = "http://127.0.0.1:9"


def run(arguments: list[str], environ: Mapping[str, str], code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run Python in the service's folder, and check the exit code."""
    variables = {**environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(SERVICE), os.environ.get("PYTHONPATH"))))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=SERVICE,
        env=variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def load(name: str) -> ModuleType:
    """Import a fresh copy of an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_fast_tests_of_the_service(clean_environ: dict[str, str], tmp_path: Path) -> None:
    done = run(["-m", "pytest", "-q", "-o", f"cache_dir={tmp_path}"], clean_environ)

    assert "needs --real-models" in done.stdout
    assert "7 passed, 12 skipped" in done.stdout


def test_in_production_a_missing_model_is_an_error(
    make_environ: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "model-metadata.yaml").write_text("models: []\n")
    environ = make_environ(MODEL_VOLUME_DIR=str(tmp_path), ENVIRONMENT="production")

    done = run(["-m", "sentiment_service", "Bitcoin price surge"], environ, code=1)

    assert done.stdout == ""
    assert done.stderr.startswith(
        "error: distilbert/distilbert-base-uncased-finetuned-sst-2-english: not in this store"
    )
    assert "what to do: put the model into one of these folders" in done.stderr


@pytest.mark.slow
def test_in_development_a_missing_model_is_replaced_by_a_fake(
    make_environ: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    environ = make_environ(HF_ENDPOINT=NOBODY_LISTENS, MODEL_CACHE_DIR=str(tmp_path), NO_PROXY="127.0.0.1")

    arguments = ["-m", "sentiment_service", "--env-file", ".env.development", "Bitcoin price surge"]
    done = run(arguments, {**environ, "MODEL_SOURCE": "local_cache"})

    answer = json.loads(done.stdout)
    assert answer["environment"] == "local_cache"
    assert 0 < answer["score"] <= 1
    assert "ModelFallbackWarning" in done.stderr
    assert f"could not be fetched from {NOBODY_LISTENS}" in done.stderr


@pytest.mark.slow
def test_with_testing_true_the_service_uses_fakes(make_environ: Callable[..., dict[str, str]]) -> None:
    arguments = ["-m", "sentiment_service", "--kind", "stock", "Bitcoin price surge"]

    first, second = (run(arguments, make_environ(TESTING="true")).stdout for _ in range(2))

    assert json.loads(first)["environment"] == "mock_models"
    assert first == second


@pytest.mark.integration
def test_the_service_with_a_model_from_a_volume(
    make_environ: Callable[..., dict[str, str]], classifier: Path, tmp_path: Path
) -> None:
    shutil.copytree(classifier, tmp_path / "example" / "market-sentiment")
    (tmp_path / "model-metadata.yaml").write_text("models:\n  - example/market-sentiment\n")
    environ = make_environ(MODEL_VOLUME_DIR=str(tmp_path), CRYPTO_MODEL="example/market-sentiment")
    environ["MODEL_TIMEOUT"] = str(SECONDS)  # parallel tests can keep the machine busy

    done = run(["-m", "sentiment_service", "Bitcoin price crash, panic and huge losses"], environ)

    answer = json.loads(done.stdout)
    assert (answer["environment"], answer["label"]) == ("persistent_volume", "NEGATIVE")


@pytest.fixture
def quickstart(tmp_path: Path) -> ModuleType:
    """The quickstart, in a checkout of its own, with a shell script as pip."""
    module = load("quickstart")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "constraints.txt").write_text("")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    module.ROOT = tmp_path
    module.VENV = tmp_path / ".venv"
    module.PYTHON = module.VENV / "bin" / "python"
    module.COMPLETE = module.VENV / "complete"
    module.PIP_LOG = module.VENV / "pip.log"
    return module


def write_pip(quickstart: ModuleType, script: str) -> None:
    quickstart.PYTHON.write_text(f"#!/bin/sh\n{script}\n")
    quickstart.PYTHON.chmod(0o755)


def test_an_older_python_is_refused(
    quickstart: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(sys, "version", "3.10.1 (main)")

    assert quickstart.main() == 1
    assert capsys.readouterr().err == "error: Python 3.11 or newer is required; this is 3.10.1. Try python3.11.\n"


def test_another_system_is_refused(
    quickstart: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quickstart, "os", namedtuple("Windows", "name")("nt"))

    assert quickstart.main() == 1
    assert capsys.readouterr().err == "error: modelenv runs only on Linux and macOS so far.\n"


def test_a_failing_pip_is_one_clear_error(quickstart: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    write_pip(quickstart, "echo Collecting torch; echo no such version >&2; exit 3")

    assert quickstart.main() == 1

    error = capsys.readouterr().err
    assert re.match(r"error: pip failed after \d+ s\. The end of ", error)
    assert "Collecting torch\nno such version\n" in error
    assert not quickstart.COMPLETE.exists()


@pytest.mark.slow
def test_a_hanging_pip_is_killed_with_its_children(
    quickstart: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    quickstart.INSTALL_SECONDS = 3
    quickstart.PROGRESS_EVERY = 0
    write_pip(quickstart, "echo Collecting torch; sleep 90")

    assert quickstart.main() == 1

    said = capsys.readouterr()
    assert "s: Collecting torch" in said.out
    assert said.err.startswith("error: pip was stopped after ")


def test_a_broken_python_is_named(quickstart: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    quickstart.PYTHON.write_text("not a program")

    assert quickstart.main() == 1
    assert f"Delete {quickstart.VENV} and try again." in capsys.readouterr().err


def test_a_complete_environment_is_reused(quickstart: ModuleType) -> None:
    write_pip(quickstart, "exit 0")
    wanted = quickstart.fingerprint()
    assert not quickstart.is_complete(wanted)

    quickstart.COMPLETE.write_text(wanted)
    assert quickstart.is_complete(wanted)

    (quickstart.ROOT / "pyproject.toml").write_text("[project]\n")
    assert not quickstart.is_complete(quickstart.fingerprint())
