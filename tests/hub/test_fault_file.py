from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError
from modelenv.hub.faults.file import read_faults

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str) -> Path:
    path = folder / "faults.toml"
    path.write_text(text)
    return path


def test_a_file_has_the_same_rules_as_fail(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[fault]]
        kind = "resolve"
        file = "*.safetensors"
        times = 2
        status = 429
        headers = { Retry-After = "3" }

        [[fault]]
        share = 0.25
        seed = 7
        cut_after = 1000
        reset = true
        """,
    )
    assert read_faults(path) == (
        {"kind": "resolve", "file": "*.safetensors", "times": 2, "status": 429, "headers": {"Retry-After": "3"}},
        {"share": 0.25, "seed": 7, "cut_after": 1000, "reset": True},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]\n", ": not valid TOML\n  found: Expected ']]' at the end of an array declaration (at line 1"),
        ("", ": not a file of faults\n  expected: tables [[fault]], and nothing else\n  found: nothing"),
        ("[fault]\nstatus = 500\n", ": not a file of faults"),
        ("seed = 3\n[[fault]]\nstatus = 500\n", ": not a file of faults\n  expected: tables [[fault]], and "),
        ("fault = [1]\n", ": fault 1 is not a table\n  expected: [[fault]]\n  found: 1"),
        (
            "[[fault]]\nstatus = 500\n[[fault]]\nstatsu = 500\n",
            ": fault 2 has unknown keys\n  expected: keys among method, kind, repo, file, nth,",
        ),
        (
            "[[fault]]\nstatus = 'no'\n",
            ": fault 1: a fault's status is not valid\n  expected: a number\n  found: 'no'",
        ),
    ],
)
def test_errors_in_a_file_name_its_path(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_faults(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot read the faults\n  found: No such file"):
        read_faults(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"binary\.toml: not valid TOML"):
        read_faults(tmp_path / "binary.toml")


@pytest.mark.slow
def test_serve_applies_the_faults_in_a_file(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "[[fault]]\nstatus = 503\ntimes = 1\n[[fault]]\nfile = '*.json'\ndelay = 0.1\n")
    command = [sys.executable, "-m", "modelenv", "hub", "serve", str(model.parent.parent), "--faults", str(path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        endpoint = server.stdout.readline().split()[-1]
        lines = [server.stdout.readline() for _ in range(5)]
        assert lines[2:4] == ["Fault: times=1, status=503\n", "Fault: file='*.json', delay=0.1\n"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{endpoint}/org/name/resolve/main/config.json", timeout=60)
        with urllib.request.urlopen(f"{endpoint}/org/name/resolve/main/config.json", timeout=60) as answer:
            assert answer.status == 200
        assert "-> 503, " in server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        assert server.communicate(timeout=60)[0].endswith("Stopped.\n")
    finally:
        server.kill()
        server.communicate()


@pytest.mark.slow
def test_the_command_reports_an_error_in_the_file(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "[[fault]]\nstatus = 5\n")
    command = [sys.executable, "-m", "modelenv", "hub", "serve", str(model.parent.parent), "--faults", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {path}: fault 1: a fault's status is not valid\n  expected: a status from 300 to 599\n  found: 5\n"
    )
