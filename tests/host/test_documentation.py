"""The program in docs/host.md runs, and the options and figures of the page match the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelenv.host.client import _STARTS
from modelenv.host.folder import _SECRET_ENDINGS
from modelenv.loading.build import REST_OF_A_PIPELINE
from pytest_modelenv.hosting import _KEEP_BYTES, _KEEP_SECONDS
from pytest_modelenv.memory import parse_memory
from pytest_modelenv.options import _DEFAULT_MEMORY

TEXT = (Path(__file__).parents[2] / "docs" / "host.md").read_text()
PROSE = " ".join(TEXT.split())


def test_figures_match_the_code() -> None:
    assert f"after {_KEEP_SECONDS / 60:.0f} minutes without a request" in PROSE
    assert f"remembers up to {_KEEP_BYTES >> 20} MiB of answers" in PROSE
    assert f"{REST_OF_A_PIPELINE >> 20} MiB for tokenizer and configuration" in PROSE
    assert f"names end in {', '.join(_SECRET_ENDINGS[:-1])} or {_SECRET_ENDINGS[-1]}" in PROSE
    assert "three times at most" in PROSE
    assert _STARTS == 3


def test_the_help_names_the_options() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelenv.host", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "--memory BYTES" in done.stdout
    assert "--answers BYTES" in done.stdout


def test_memory_limits_in_the_page_are_valid() -> None:
    named = re.search(r"for the models of a host: `(\w+)`, `(\w+)`, or a share .* such as `(\d+%)`, which is", PROSE)
    assert named is not None
    amounts = [parse_memory(amount, machine=16 << 30) for amount in named.groups()]
    assert amounts == [4 << 30, 500 << 20, 8 << 30]
    assert named[3] == _DEFAULT_MEMORY


@pytest.mark.integration
def test_the_program_prints_the_output_in_the_page(tmp_path: Path, clean_environ: dict[str, str]) -> None:
    (program,) = re.findall(r"^```python\n# ask.py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^```text\n\$ python ask.py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "ask.py").write_text(program)
    command = [sys.executable, "ask.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environ, capture_output=True, text=True, timeout=250, check=True
    )
    assert done.stdout == printed
