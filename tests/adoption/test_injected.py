"""Each Python process of a run starts our `sitecustomize`, and then the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from modelenv.adoption.records import VARIABLE, Adoption, Asked, append, read
from modelenv.adoption.runs import INJECTED

SHOW = "import sys; print('sitecustomize' in sys.modules, any('injected' in each for each in sys.path))"


def run(code: str, *folders: Path, **variables: str) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_users_own_sitecustomize_runs_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the users own')\n")
    adoption = Adoption(str(tmp_path), "https://huggingface.co")
    said = run(SHOW, INJECTED, tmp_path, **{VARIABLE: adoption.text()})
    assert said == "the users own\nTrue False\n"
    assert read(tmp_path).processes == 1


def test_without_the_variable_nothing_is_recorded(tmp_path: Path) -> None:
    assert run("import sys; print('modelenv.adoption' in sys.modules)", INJECTED) == "False\n"


def test_an_interpreter_without_modelenv(tmp_path: Path) -> None:
    """`-S` leaves out site-packages, and with it `sitecustomize`: here it is imported by hand."""
    environ = {**os.environ, "PYTHONPATH": str(INJECTED), VARIABLE: Adoption(str(tmp_path), "https://hub").text()}
    command = [sys.executable, "-S", "-c", "import sitecustomize; print('fine')"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")
    assert read(tmp_path).processes == 0


def test_a_line_that_a_killed_process_did_not_finish_is_left_out(tmp_path: Path) -> None:
    asked = {"test": "t", "repo_type": "model", "repo": "acme/m"}
    append(str(tmp_path), "asked", [asked])
    append(str(tmp_path), "problem", [{"text": "no lock"}, {"text": "no lock"}])
    append(str(tmp_path), "finished", [{"test": "t", "outcome": "passed"}, {"test": "u", "outcome": "failed"}])
    with (tmp_path / f"{os.getpid()}.jsonl").open("a") as file:
        file.write('{"kind": "asked", "te')
    seen = read(tmp_path)
    assert seen.asked == (Asked("t", "model", "acme/m"),)
    assert (seen.processes, seen.problems, seen.failed) == (1, ("no lock",), {"u"})


def test_a_process_that_outlives_its_run_records_nothing(tmp_path: Path) -> None:
    append(str(tmp_path / "gone"), "started", [{}])
    assert list(tmp_path.iterdir()) == []
