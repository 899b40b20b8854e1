"""Tests that get the locked models through unchanged code: the lock answers for the Hub while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelenv.locks.project_lock import Lockfile, write_lockfile

from ..fetching.conftest import Lock, MakeModel, hub, lock, make_model
from .projects import REAL, summary_of, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from modelenv.hub import EmbeddedHub
    from modelenv.locks.values import LockedModel

    RunTests = Callable[..., pytest.RunResult]

__all__ = ["hub", "lock", "make_model"]

REPO = "acme/model"
LARGE = 20_000  # bytes of weights
SERVICE = """
from pathlib import Path
from huggingface_hub import hf_hub_download

def model_type(revision=None):
    return Path(hf_hub_download("acme/model", "config.json", revision=revision)).read_text()

def weights():
    return Path(hf_hub_download("acme/model", "model.safetensors")).read_bytes()
"""
PYPROJECT = f'[tool.modelenv.models]\nm = "{REPO}"\n'


@pytest.fixture
def folder(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    """The folder of the model on the Hub."""
    folder = make_model(weights=LARGE)
    hub.add(folder, REPO)
    return folder


@pytest.fixture
def locked(folder: Path, lock: Lock) -> LockedModel:
    """The locked model."""
    return lock()


@pytest.fixture
def project(
    project: pytest.Pytester, hub: EmbeddedHub, locked: LockedModel, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project with the lock, whose code knows nothing of modelenv, and an empty cache."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MODEL_TIMEOUT", "200")
    (project.path / "pyproject.toml").write_text(PYPROJECT)
    write_lockfile(project.path / "modelenv.lock", Lockfile((locked,)))
    project.makepyfile(service=SERVICE)
    hub.clear()
    return project


def contents(hub: EmbeddedHub) -> list[str | None]:
    """The files whose content was requested, and every other request."""
    return sorted(str(each.file) if each.method == "GET" else f"{each.method} {each.file}" for each in hub.requests)


INTEGRATION = """
import pytest
from service import model_type, weights

pytestmark = pytest.mark.integration

@pytest.mark.parametrize("number", range(4))
def test_locked(number):
    assert "changed" not in model_type()
    assert len(weights()) > 20_000

def test_main():
    assert "changed" not in model_type("main")
"""


@without_and_n2
def test_an_integration_test_gets_the_locked_commit(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, folder: Path, mode: tuple[str, ...]
) -> None:
    project.makepyfile(INTEGRATION)
    run_program(*mode).assert_outcomes(skipped=5)
    assert contents(hub) == []
    result = run_program(*REAL, *mode)
    result.assert_outcomes(passed=5)
    assert contents(hub) == ["config.json", "model.safetensors"]
    [line] = summary_of(result)
    assert line.startswith(f"{REPO}: fetched")
    assert "; used through the Hub's client" in line
    result.stdout.no_fnmatch_line("*without a real model*")

    hub.clear()
    (folder / "config.json").write_text('{"model_type": "changed"}')  # main moves
    result = run_program(*REAL, *mode)
    result.assert_outcomes(passed=5)
    [line] = summary_of(result)
    assert line.startswith(f"{REPO}: cached, 0 requests to the Hub; used through the Hub's client")
    assert contents(hub) == []
