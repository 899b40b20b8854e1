"""The command line: text output, `--json`, help and errors."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelenv import cli
from modelenv.environment.settings import Settings

from .terminals import read_terminal


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder. The only variable that influences detection is `PYTEST_CURRENT_TEST`."""
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_SOURCE", "MODEL_CACHE_DIR", "MODEL_TIMEOUT", "ENVIRONMENT", "GITHUB_ACTIONS", "TESTING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(tmp_path / "volume"))
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "a test")
    return tmp_path


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "modelenv", *arguments],
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_env_explains_what_was_detected_and_why(folder: Path) -> None:
    volume = f"no {folder}/volume/model-metadata.yaml"
    cache = f"no model in {folder}/model_cache"
    assert re.sub(" {3,}", "  ", invoke("env")) == (
        "mock_models, decided by a running test: PYTEST_CURRENT_TEST is set\n"
        "models: none, fakes only; timeout 1 s\n"
        "\n"
        "probe  answer  found\n"
        "a forced source  -  not set\n"
        f"a persistent volume  -  {volume}\n"
        "a running test  mock_models  PYTEST_CURRENT_TEST is set\n"
        "GitHub Actions  -  GITHUB_ACTIONS is not set\n"
        f"a local cache  -  {cache}\n"
        "the fallback  huggingface_hub  used if nothing else applies\n"
        "\n"
        "setting  value  from\n"
        "source  -  default\n"
        f"cache_dir  {folder}/model_cache  default\n"
        f"volume_dir  {folder}/volume  variable MODEL_VOLUME_DIR\n"
        "timeout  -  default\n"
        "device  auto  default\n"
        "environment  -  default\n"
    )


def test_the_version() -> None:
    from importlib.metadata import version

    assert invoke("--version") == f"modelenv {version('modelenv')}\n"


def test_every_command_has_short_help() -> None:
    from typer.main import get_command

    def paths(command: object, *names: str) -> list[tuple[str, ...]]:
        below = getattr(command, "commands", {}).items()
        return [names, *(path for name, each in below for path in paths(each, *names, name))]

    found = paths(get_command(cli.app))
    assert len(found) == 17
    for path in found:
        shown = invoke(*path, "-h")
        assert "Usage: " in shown
        assert shown == invoke(*path, "--help")


def test_the_columns_are_aligned() -> None:
    lines = invoke("env").splitlines()
    tables = lines[3:10], lines[11:]
    assert [line.index(word) for line, word in zip(tables[0], ("answer", "-", "- "), strict=False)] == [21] * 3
    assert [line.rindex("default") for line in tables[1][1:2]] == [tables[1][0].index("from")]
    assert all(line == line.rstrip() for line in lines)


def test_env_as_json(folder: Path) -> None:
    said = json.loads(invoke("env", "--json", "--source", "local_cache"))
    assert {name: said[name] for name in ("source", "reason", "root", "timeout", "device")} == {
        "source": "local_cache",
        "reason": "a forced source: local_cache, from argument",
        "root": str(folder / "model_cache"),
        "timeout": 60.0,
        "device": "auto",
    }
    assert said["origins"] == dict(Settings.load(source="local_cache").origins)
    assert said["probes"][0] == {
        "probe": "a forced source",
        "answer": "local_cache",
        "detail": "local_cache, from argument",
    }
    assert [probe["answer"] for probe in said["probes"]] == [
        "local_cache", None, "mock_models", None, None, "huggingface_hub",
    ]  # fmt: skip


def test_env_file(folder: Path) -> None:
    (folder / ".env.development").write_text("MODEL_CACHE_DIR=./model_cache\nENVIRONMENT=development\n")
    said = invoke("--env-file", ".env.development", "env")
    assert re.search(r"^environment +development +ENVIRONMENT in .env.development$", said, re.MULTILINE)
    assert re.search(rf"^cache_dir +{folder}/model_cache +MODEL_CACHE_DIR in .env.dev", said, re.MULTILINE)


def test_brackets_colons_and_long_lines_are_printed_unchanged(folder: Path) -> None:
    deep = folder / "[bold]:smile:" / ("long" * 60)
    (folder / "pyproject.toml").write_text(f"[tool.modelenv]\ncache_dir = '{deep}'\n")
    line = next(line for line in invoke("env").splitlines() if line.startswith("cache_dir"))
    assert re.sub(" {2,}", "  ", line) == f"cache_dir  {deep}  [tool.modelenv] in {folder}/pyproject.toml"


@pytest.mark.slow
def test_rows_are_not_wrapped_in_a_narrow_pipe(folder: Path) -> None:
    done = run("env", COLUMNS="20", LINES="5", MODEL_SOURCE="mock_models")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 18
    assert lines[0] == "mock_models, decided by a forced source: mock_models, from variable MODEL_SOURCE"
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_a_closed_pipe_causes_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "modelenv", "env"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert done.returncode != 0


def test_a_full_disk_is_reported_without_a_traceback() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a file
        done = subprocess.run(
            [sys.executable, "-m", "modelenv", "env"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (
        1,
        "error: the output cannot be written\n"
        "  found: No space left on device\n"
        "  what to do: free space where the output goes\n",
    )


def test_an_error_as_json(folder: Path) -> None:
    done = run("verify", "--volume", "nothing", "--json", MODEL_SOURCE="local_cache")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "error": {
            "type": "LockfileError",
            "what": f"{folder}/nothing/model-metadata.yaml: modelenv's metadata is missing, so this volume is not "
            "complete",
            "model": None,
            "expected": None,
            "found": None,
            "tried": [],
            "hint": f"fill it with `modelenv pull --to {folder}/nothing`",
        }
    }
    assert done.stderr.startswith("error: ")


@pytest.mark.slow
def test_an_unknown_source_is_reported_without_a_traceback() -> None:
    done = run("env", MODEL_SOURCE="cloud")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: source: unknown model source (from variable MODEL_SOURCE)\n"
        "  expected: one of persistent_volume, mock_models, download_on_demand, local_cache, huggingface_hub\n"
        "  found: 'cloud'\n"
        "  what to do: correct MODEL_SOURCE, or the option or argument that names the source\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--env-file", "missing.env", "env"], "error: the env file does not exist\n  found: missing.env\n"),
        (["env", "--source", "cloud"], "error: source: unknown model source (from argument)\n"),
    ],
)
def test_errors_end_the_program_with_their_message(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["modelenv", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(text)


@pytest.mark.slow
def test_a_terminal_shows_the_same_output_as_a_pipe(folder: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "modelenv", "env"], stdout=slave, stderr=slave, cwd=folder)
    os.close(slave)
    said = read_terminal(master)
    assert process.wait(timeout=60) == 0
    assert said.replace("\r\n", "\n") == invoke("env")


def plain(text: str) -> str:
    return re.sub(r"[^\w.,;:<>/\[\]-]+", " ", re.sub("\x1b\\[[0-9;]*m", "", text))


def test_help_of_the_program() -> None:
    said = plain(invoke("--help"))
    for text in (
        "Load Hugging Face models with the same code in tests, on a laptop, in CI and in production.",
        "--env-file",
        "Read variables from this file.",
        "env Show which environment was detected, and why.",
        "hub An embedded Hub on loopback.",
    ):
        assert text in said


def test_help_of_commands() -> None:
    said = plain(invoke("env", "--help"))
    assert "Explain as if this source were forced." in said
    assert "Print JSON." in said
    said = plain(invoke("hub", "serve", "--help"))
    assert "Serve a folder of models on loopback, for any client of the Hub." in said
    assert "A folder of models: <org>/<name>/ or <name>/." in said
    assert "The port. 0 picks a free one." in said


def test_help_is_shown_without_arguments() -> None:
    for arguments in ((), ("hub",)):
        result = CliRunner().invoke(cli.app, arguments)
        assert "Usage:" in result.output
        assert result.exit_code == 2


def test_serving_a_missing_folder_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["modelenv", "hub", "serve", "missing"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("pull", "--to", ""),
        ("pull", "--to", "  "),
        ("pull", "--cache-dir", ""),
        ("prune", "--volume", ""),
        ("prune", "--cache-dir", ""),
        ("verify", "--volume", ""),
        ("list", "--cache-dir", ""),
        ("doctor", "--cache-dir", ""),
        ("lock", "--cache-dir", ""),
        ("--env-file", "", "env"),
        ("hub", "serve", ""),
        ("hub", "serve", ".", "--faults", ""),
    ],
)
def test_an_empty_path_does_not_mean_the_current_folder(folder: Path, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert "a path must not be empty; use '.' for the current folder" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("--add",), ("--replace",), ("--to", "volume", "--add", "--replace"), ("m", "--add")]
)
def test_add_and_replace_require_a_volume_and_exclude_each_other(folder: Path, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, ["pull", *arguments], catch_exceptions=False)
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert "--add and --replace require --to and exclude each other" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--layout", "hub"), "--layout requires --to"),
        (("--to", "volume", "--layout", "flat"), "'flat' is not one of 'plain', 'hub'"),
    ],
)
def test_a_layout_is_one_of_two_and_requires_a_volume(
    folder: Path, arguments: tuple[str, ...], expected: str
) -> None:
    result = CliRunner().invoke(cli.app, ["pull", *arguments], catch_exceptions=False)
    assert result.exit_code == 2
    assert expected in " ".join(result.output.replace("│", " ").split())
    assert list(folder.iterdir()) == []
