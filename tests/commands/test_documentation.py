"""Run every command in docs/commands.md, in order, and compare the output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DECLARATION, Project

TEXT = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^\$ modelenv (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def same(text: str) -> str:
    """Replace what differs from run to run: commits, and the key derived from them."""
    return re.sub(r"\b[0-9a-f]{12}\b", "COMMIT", re.sub(r"modelenv-[0-9a-f]{32}", "KEY", text)).strip()


@pytest.mark.slow
def test_every_command_prints_the_documented_output(project: Project) -> None:
    assert f"```toml\n{DECLARATION}```" in TEXT
    blocks = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    commands = [match for block in blocks for match in COMMAND.findall(block)]
    assert len(commands) == 13
    for command, expected in commands:
        done = subprocess.run(
            [sys.executable, "-m", "modelenv", *command.split()],
            cwd=project.folder, env=project.environ, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        said = (done.stdout or done.stderr).replace(str(project.folder), "PROJECT")
        if done.returncode == 2:  # typer draws a box around the message
            assert same(expected) in said
        else:
            assert (done.returncode, same(said)) == (0, same(expected)), command


def test_every_command_is_documented() -> None:
    from typer.main import get_command

    from modelenv.cli import app

    group = get_command(app)
    verbs = set(getattr(group, "commands", {})) - {"env", "hub", "host"}
    assert verbs == {"pull", "verify", "list", "prune", "doctor", "lock", "outdated", "cache-key", "run", "adopt"}
    assert [verb for verb in sorted(verbs) if f"{verb}" not in TEXT] == []
