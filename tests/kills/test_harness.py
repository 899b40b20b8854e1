"""The harness finds problems and kills at the planned moments, and a short run finds no problems."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = 500
HOME = Path(__file__).resolve().parents[2]
SHORT = 10
DAMAGES = """
import os, sys
from pathlib import Path
from random import Random
from tests.kills.bench import CASES, made_bench
from tests.kills.checks import wrong_after_kill, wrong_after_run
from tests.kills.children import HUNG, run
from signal import SIGKILL

root = Path(sys.argv[1])
os.environ.update(MODEL_SOURCE="local_cache", HF_HOME=str(root / "hf"), HF_HUB_DISABLE_XET="1")
with made_bench(root) as bench:
    case = CASES["pull --to, damaged byte"]
    place = bench.lay_out(case, "volume", Random(1))
    assert list(wrong_after_kill(bench, case, place)) == []
    assert any("does not load from the volume" in text for text in wrong_after_run(bench, case, place))
    (place.volume / "model-metadata.yaml").write_text("version: 1\\nmodels: ]")
    assert any("metadata cannot be read" in text for text in wrong_after_kill(bench, case, place))

    case = CASES["pull, damaged byte"]
    place = bench.lay_out(case, "cache", Random(1))
    found = list(wrong_after_run(bench, case, place))
    assert any("a snapshot contains wrong bytes" in text for text in found), found
    assert any("does not load from the cache" in text for text in found), found
    place.lock.write_bytes(place.lock.read_bytes()[:-40])
    assert any("the lock is neither" in text for text in wrong_after_kill(bench, case, place))
    place.lock.unlink()
    assert "the lock is missing" in list(wrong_after_kill(bench, case, place))

    place = bench.lay_out(CASES["lock, cold"], "event", Random(1))
    assert run(place.child(("lock",), event=1), 30).code == -SIGKILL
    assert run(place.child(("lock",), after=0.0), 30).code == -SIGKILL
    ended = run(place.child(("lock",)), 30)
    assert (ended.code, ended.events > 10) == (0, True), ended
    assert run(place.child(("hub", "serve", str(place.project))), 3).code == HUNG
print("all problems found")
"""


@pytest.fixture
def in_checkout(clean_environ: dict[str, str]) -> Callable[..., str]:
    """A function that runs Python in the checkout, and returns its output."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=HOME, env={**clean_environ, "PYTHONPATH": f"{HOME / 'src'}:{HOME}"},
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.integration
@pytest.mark.timeout(SECONDS)
def test_the_checks_find_problems_and_the_kills_hit(in_checkout: Callable[..., str], tmp_path: Path) -> None:
    assert in_checkout("-c", DAMAGES, str(tmp_path)) == "all problems found\n"
    shutil.rmtree(tmp_path)


@pytest.mark.integration
@pytest.mark.timeout(SECONDS)
def test_a_killed_command_causes_no_problems(in_checkout: Callable[..., str]) -> None:
    output = in_checkout("-m", "tests.kills", "--count", str(SHORT), "--seed", "7")
    [row] = re.findall(r"^all +(\d+) +(\d+) +(\d+) *$", output, re.MULTILINE)
    _, killed, wrong = map(int, row)
    assert (killed, wrong) == (SHORT, 0)
    assert f"{SHORT} of {SHORT} kills in " in output
