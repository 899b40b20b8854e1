"""docs/existing-code.md: its programs print the documented output."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

from .conftest import REPO

TEXT = (Path(__file__).parents[2] / "docs" / "existing-code.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
NAME = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


def block_after(name: str) -> tuple[str, str]:
    """Return a program of the page, and the block that follows it."""
    index = next(number for number, (_, text) in enumerate(BLOCKS) if text.startswith(f"# {name}\n"))
    return BLOCKS[index][1], BLOCKS[index + 1][1]


def run(folder: Path, environ: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True, timeout=250, check=False
    )


@pytest.fixture
def environ(hub: EmbeddedHub, make_environ: Callable[..., dict[str, str]], tmp_path: Path) -> dict[str, str]:
    return make_environ(
        HF_ENDPOINT=hub.endpoint, MODEL_SOURCE="local_cache", MODEL_CACHE_DIR=str(tmp_path / "cache"),
        HF_HUB_DISABLE_TELEMETRY="1", NO_PROXY="127.0.0.1", OMP_NUM_THREADS="1", MODEL_TIMEOUT="100",
    )  # fmt: skip


def test_what_is_not_locked_is_counted(
    hub: EmbeddedHub, folder: Path, project: Path, environ: dict[str, str]
) -> None:
    hub.add(folder, "acme/other")
    code, output = block_after("counted.py")
    assert REPO in code
    done = run(project, environ, "-c", code)
    assert (done.returncode, done.stdout) == (0, output), done.stderr


def test_the_error_of_a_refused_model(project: Path, environ: dict[str, str]) -> None:
    code, _ = block_after("counted.py")
    code = code.replace("install()", "install(refuse=True)").replace('hf_hub_download("acme/model", "README.md")', "")
    done = run(project, environ, "-c", code)
    expected = next(text for _, text in BLOCKS if text.startswith("acme/other@main: not locked"))
    assert done.stderr.replace(str(project), "/home/you/project").endswith(f"ModelNotFoundError: {expected}")


@pytest.mark.integration
def test_the_service(hub: EmbeddedHub, classifier: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    hub.add(classifier, NAME)
    declared = next(text for language, text in BLOCKS if language == "toml")
    (tmp_path / "pyproject.toml").write_text(declared)
    locked = run(tmp_path, environ, "-m", "modelenv", "lock")
    assert locked.returncode == 0, locked.stderr
    code, output = block_after("service.py")
    for _ in range(2):
        done = run(tmp_path, environ, "-c", code)
        assert (done.returncode, done.stdout) == (0, output), done.stderr
        hub.clear()
    hub.assert_no_requests()


def test_links_are_valid() -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", TEXT)]
    assert [link for link in links if not (Path(__file__).parents[2] / "docs" / link).exists()] == []
