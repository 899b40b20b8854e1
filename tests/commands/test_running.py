"""`modelenv run -- COMMAND`: the command finds the locked models offline, and keeps its exit code and signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..waiting import wait_until
from .conftest import Project

DOWNLOAD = "import sys; from huggingface_hub import hf_hub_download as d; print(d('acme/first', 'config.json'))"
NOBODY = {"HF_ENDPOINT": "http://127.0.0.1:9"}


def commit_of(project: Project) -> str:
    lines = (project.folder / "modelenv.lock").read_text().splitlines()
    return next(line for line in lines if line.startswith("commit =")).split('"')[1]


def failed(project: Project, code: int, *command: str, **variables: str) -> list[str]:
    """Run a command that cannot be started, and return the lines of stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "modelenv", "run", "--", *command],
        cwd=project.folder, env={**project.environ, **variables}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr.replace(str(project.folder), "PROJECT").splitlines()


@pytest.fixture(autouse=True)
def temporary(project: Project, tmp_path: Path) -> None:
    """Keep the links in a folder of the test."""
    (tmp_path / "temporary").mkdir()
    project.environ["TMPDIR"] = str(tmp_path / "temporary")


def test_the_command_finds_the_locked_commit_offline(locked: Project) -> None:
    folder = locked.cache / "models--acme--first"
    commit = commit_of(locked)
    said = locked.run("run", "--", sys.executable, "-c", DOWNLOAD)
    assert said.endswith(f"/models--acme--first/snapshots/{commit}/config.json\n")
    assert Path(said.strip()).resolve() == (folder / "snapshots" / commit / "config.json").resolve()
    assert {kind for _, kind, _ in locked.asked()} == {"resolve"}
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40)
    assert locked.run("run", sys.executable, "-c", DOWNLOAD, **NOBODY) == said
    assert (folder / "refs" / "main").read_text() == "0" * 40  # the references of other programs are not changed


@pytest.mark.slow  # three commands
def test_another_project_with_the_same_cache_does_not_change_what_a_running_command_finds(
    filled: Project, tmp_path: Path
) -> None:
    code = f"import sys; print('started', flush=True); sys.stdin.readline(); {DOWNLOAD}"
    command = [sys.executable, "-m", "modelenv", "run", "--", sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=filled.folder, env=filled.environ, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in ("started\n", ""):
            pass
        newest = filled.push("first", id2label={"0": "NEW", "1": "ER"})
        other = Project(tmp_path / "other", filled.hub, filled.repos, filled.environ)
        shutil.copytree(filled.folder, other.folder, ignore=shutil.ignore_patterns("cache", "modelenv.lock"))
        other.prepare("lock")
        assert f"/snapshots/{newest}/" in other.run("run", "--", sys.executable, "-c", DOWNLOAD)
        said, _ = process.communicate("go\n", timeout=60)
    assert f"/snapshots/{commit_of(filled)}/" in said


@pytest.mark.slow
def test_modelenv_in_the_command_uses_the_cache_itself(filled: Project) -> None:
    code = f"import modelenv; modelenv.install(); {DOWNLOAD}"
    said = filled.run("run", "--", sys.executable, "-c", code, **NOBODY)
    assert said == f"{filled.cache}/models--acme--first/snapshots/{commit_of(filled)}/config.json\n"


def test_the_exit_code_and_the_arguments_are_the_commands(filled: Project) -> None:
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    assert filled.run("run", sys.executable, "-c", code, "--json", "-h", code=7) == "['--json', '-h']\n"


@pytest.mark.slow
def test_signals_reach_the_command(filled: Project, tmp_path: Path) -> None:
    code = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
    command = [sys.executable, "-m", "modelenv", "run", "--", sys.executable, "-c", code, str(tmp_path / "started")]
    process = subprocess.Popen(command, cwd=filled.folder, env=filled.environ)
    wait_until((tmp_path / "started").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("name", ["no-such-command", "./none", "cd-"])
def test_a_command_that_does_not_exist(locked: Project, name: str) -> None:
    assert failed(locked, 127, name) == [
        "error: there is no such command",
        f"  found: {name}",
        "  what to do: check its name and PATH. For a shell's own command, such as `cd`, use sh -c '...'",
    ]
    assert locked.asked() == []


def test_a_file_that_is_not_executable_and_a_folder(locked: Project) -> None:
    (locked.folder / "start-it").write_text("#!/bin/sh\n")
    message = [
        "error: the command is not executable",
        "  found: ./start-it",
        "  what to do: run `chmod +x ./start-it`, or name its interpreter, as in `modelenv run -- sh ./start-it`",
    ]
    assert failed(locked, 126, "./start-it") == message
    path = f"{locked.folder}{os.pathsep}{os.environ['PATH']}"
    assert failed(locked, 126, "start-it", PATH=path)[:2] == [message[0], "  found: PROJECT/start-it"]
    assert failed(locked, 126, str(locked.folder)) == [
        "error: a folder is not a command", "  found: PROJECT", "  what to do: name a program"
    ]  # fmt: skip
    assert locked.asked() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code", "found", "hint"),
    [
        (
            "exit 0\n", 126, "Exec format error",
            "begin a script with a line such as `#!/bin/sh`, or use `modelenv run -- sh ./start-it`",
        ),
        (
            "#!/no/interpreter\n", 127, "No such file or directory",
            "check the interpreter in the first line of the script",
        ),
    ],
)  # fmt: skip
def test_a_script_without_an_interpreter(filled: Project, text: str, code: int, found: str, hint: str) -> None:
    (filled.folder / "start-it").write_text(text)
    (filled.folder / "start-it").chmod(0o755)
    lines = failed(filled, code, "./start-it")
    assert lines[-3:] == [
        "error: the command cannot be started", f"  found: ./start-it: {found}", f"  what to do: {hint}"
    ]  # fmt: skip


def test_without_a_lock_nothing_is_run(project: Project) -> None:
    assert project.lines("run", "--", sys.executable, "-c", "print(1)", code=1)[0].endswith("there is no lock")


def test_a_lock_that_is_not_as_declared_stops_the_command(locked: Project) -> None:
    path = locked.folder / "pyproject.toml"
    second = '{ repo = "acme/second", revision = "v9" }'
    path.write_text(path.read_text().replace('"acme/second"', second) + 'third = "acme/third"\n')
    assert locked.lines("run", "--", sys.executable, "-c", "print(1)", code=1) == [
        "error: PROJECT/modelenv.lock: the lock is not as declared",
        "  found: second: another revision (declared v9, locked the default branch); "
        "third: not locked (declared acme/third)",
        "  what to do: run `modelenv lock` and commit the result",
    ]
    assert locked.asked() == []


@pytest.mark.slow
def test_a_damaged_file_stops_the_command(filled: Project) -> None:
    [blob] = {path.resolve() for path in filled.cache.glob("models--acme--first/snapshots/*/config.json")}
    blob.write_text("damaged")
    text = filled.run("run", "--", sys.executable, "-c", "print('run')", code=3, **NOBODY)
    assert "acme/first: could not be fetched" in text
    assert "run\n" not in text


@pytest.mark.slow
def test_on_a_volume_the_command_gets_links_to_verified_files(locked: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    locked.run("pull", "--to", str(volume))
    variables = {**NOBODY, "MODEL_CACHE_DIR": "", "MODEL_VOLUME_DIR": str(volume)}
    code = DOWNLOAD.replace("print(", "import pathlib; print(pathlib.Path(").replace("'))", "')).resolve())")
    for _ in range(2):
        path = Path(locked.run("run", "--", sys.executable, "-c", code, **variables).strip())
        assert path.is_relative_to(volume)
    path.chmod(0o644)
    path.write_text("damaged")
    text = locked.run("run", "--", sys.executable, "-c", code, code=1, **variables)
    assert "changed config.json" in text
