"""A project that declares two models, an embedded Hub that serves them, and the command line in a subprocess."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from modelenv import force_environment
from modelenv.cli import app
from modelenv.hub import EmbeddedHub

DECLARATION = """\
[tool.modelenv.models]
first = { repo = "acme/first", task = "sentiment" }
second = "acme/second"
"""


def write_model(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    (folder / "tokenizer.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    return folder


@dataclass(frozen=True)
class Project:
    """The project's folder, its Hub, and functions that run `modelenv` in it."""

    folder: Path
    hub: EmbeddedHub
    repos: Path
    environ: dict[str, str]

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def run(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Run a command, and return its stdout. If that is empty on an error, return its stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "modelenv", *arguments],
            cwd=self.folder, env={**self.environ, **variables}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code not in (1, 3) or done.stdout else done.stderr

    def prepare(self, *arguments: str) -> None:
        """Run a command in this process, which is much faster than `run`: for the setup of a test."""
        variables = {**dict.fromkeys(os.environ), **self.environ}
        with contextlib.chdir(self.folder), force_environment(variables=variables):
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        self.hub.clear()

    def lines(self, *arguments: str, code: int = 0, **variables: str) -> list[str]:
        """Run a command, and return its output lines with the project's folder replaced by PROJECT."""
        said = self.run(*arguments, code=code, **variables).strip()
        return said.replace(str(self.folder), "PROJECT").splitlines()

    def json(self, *arguments: str, code: int = 0, **variables: str) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code, **variables))

    def push(self, name: str, **config: object) -> str:
        """Push the model with this configuration to the Hub, and return the commit."""
        return self.hub.add(write_model(self.repos / name, **config), f"acme/{name}").commit

    def asked(self) -> list[tuple[str, str, str | None]]:
        """Return the requests since the last call, except `agent-harnesses`, which huggingface_hub adds itself."""
        found = sorted((each.method, each.kind, each.file) for each in self.hub.requests if each.kind != "other")
        self.hub.clear()
        return found


@pytest.fixture
def project(tmp_path: Path, make_environ: Callable[..., dict[str, str]]) -> Iterator[Project]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(DECLARATION)
    with EmbeddedHub() as hub:
        environ = make_environ(HF_ENDPOINT=hub.endpoint, MODEL_CACHE_DIR=str(folder / "cache"), COLUMNS="200")
        project = Project(folder, hub, tmp_path / "repos", environ)
        project.push("first", id2label={"0": "BAD", "1": "GOOD"})
        project.push("second")
        yield project


@pytest.fixture
def locked(project: Project) -> Project:
    """The project with a lock."""
    project.prepare("lock")
    return project


@pytest.fixture
def filled(locked: Project) -> Project:
    """The project with a lock and a filled cache."""
    locked.prepare("pull")
    return locked
