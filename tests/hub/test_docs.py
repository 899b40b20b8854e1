"""Run the tests and the command in docs/hub.md, and compare its table with `EmbeddedHub`."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub

TEXT = (Path(__file__).parents[2] / "docs" / "hub.md").read_text()
PUSH, SHARED = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
(CONSOLE,) = re.findall(r"^```console\n\$ modelenv (.*?)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
IN_EACH = """
@pytest.mark.parametrize("number", [1, 2])
def test_it_is_in_every_view(model_hub, number):
    assert model_hub.repo_ids() == ("org/name",)
    model_hub.remove("org/name")
"""


@pytest.mark.slow
def test_its_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "test_push.py").write_text(PUSH)
    shared = f"import pathlib, pytest\nFOLDER = pathlib.Path({str(tmp_path / 'model')!r})\n{SHARED}{IN_EACH}"
    (tmp_path / "test_shared.py").write_text(shared)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "test_push.py", "test_shared.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.slow
def test_its_command_prints_the_documented_output(tmp_path: Path) -> None:
    arguments, shown = CONSOLE
    (tmp_path / "DIR" / "acme" / "tiny").mkdir(parents=True)
    (tmp_path / "DIR" / "acme" / "tiny" / "config.json").write_text("{}")
    command = [sys.executable, "-m", "modelenv", *arguments.split()]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            printed = "".join(server.stdout.readline() for _ in shown.splitlines())
            server.send_signal(signal.SIGINT)
            assert server.communicate(timeout=60)[0] == "Stopped.\n"
        finally:
            server.kill()
    assert re.sub(r":\d+", ":PORT", printed) == re.sub(r":\d+", ":PORT", shown)


def test_its_table_names_existing_attributes() -> None:
    named = set(re.findall(r"^\| `model_hub\.(\w+)|, `(\w+)\(\)`", TEXT, re.MULTILINE))
    names = {name for pair in named for name in pair if name}
    assert {"add", "remove", "token", "requests", "clear", "assert_no_requests", "fail"} <= names
    assert [name for name in names if not hasattr(EmbeddedHub, name)] == []
