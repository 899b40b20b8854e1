"""The examples in docs/faults.md work, and its tables match the rules."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from modelenv.fetching.retries import RetryPolicy
from modelenv.fetching.trouble import PASSING
from modelenv.hub.faults.file import read_faults
from modelenv.hub.faults.rules import Rule

TEXT = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_the_tests_pass_and_have_the_documented_output(tmp_path: Path) -> None:
    (tmp_path / "test_download.py").write_text(BLOCKS["python"])
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-p",
        "no:randomly",
        "-p",
        "no:asyncio",
        "test_download.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(BLOCKS["text"])
    assert "2 passed" in done.stdout


def test_the_file_of_faults_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(BLOCKS["toml"])
    assert [Rule(**rule).status for rule in read_faults(path)] == [429, None]


def test_the_tables_contain_every_field() -> None:
    named = set(re.findall(r"`(\w+)=", TEXT))
    assert {field.name for field in fields(Rule)} - named == set()


def test_the_number_of_retries_is_documented() -> None:
    text, policy = " ".join(TEXT.split()), RetryPolicy(draw=lambda: 1.0)
    waits = ", ".join(f"{policy.wait(number, None):g}" for number in range(1, policy.retries + 1))
    assert f"after {waits} seconds" in text
    assert f"fails {policy.retries + 1} times" in text
    assert f"nobody ever answered, {policy.retries_unanswered + 1} times" in text
    *most, last = map(str, sorted(PASSING))
    assert f"A {', '.join(most)} or {last}" in text
