"""Tests the README: its Python files, its commands with their output, and its tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# .ci/run runs these commands, so the tests need not.
RUN_ELSEWHERE = {
    "python3.11 examples/quickstart.py",
    ".venv/bin/python -m pytest --real-models -n 2",
}
SECONDS = 250


def python_files() -> dict[str, str]:
    """Return the README's Python files by the name in their first line."""
    blocks = [text for language, text in BLOCKS if language == "python"]
    names = [re.match(r"# (\w+\.py)\n", text) for text in blocks]
    assert all(names), "each Python block of the README begins with a file's name"
    return {name[1]: text for name, text in zip(names, blocks, strict=True) if name}


def consoles() -> dict[str, str]:
    """Return the expected output of each command in the README."""
    found = {}
    for language, text in BLOCKS:
        if language == "console":
            command, _, output = text.removeprefix("$ ").partition("\n")
            found[command] = output
    return found


def text_after(name: str) -> str:
    """Return the text block that follows a Python file."""
    index = BLOCKS.index(("python", python_files()[name]))
    language, text = BLOCKS[index + 1]
    assert language == "text"
    return text


def run(arguments: list[str], folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def squeezed(text: str) -> list[str]:
    """Return the lines of a text, without the widths of table columns."""
    return [" ".join(line.split()) for line in text.strip().splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with only the README's Python files."""
    for name, text in python_files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return tmp_path


def test_every_command_is_tested_here_or_run_in_ci() -> None:
    assert set(consoles()) == {"pytest -q -rs", "modelenv env", *RUN_ELSEWHERE}
    ci = (ROOT / ".ci" / "run").read_text()
    assert '"$python" examples/quickstart.py' in ci
    assert ".venv/bin/python -m pytest --real-models -n 2" in ci


@pytest.mark.slow
def test_the_service_and_its_test(project: Path, clean_environ: dict[str, str]) -> None:
    plugins = ["-p", "no:randomly", "-p", "no:cacheprovider"]

    output = run(["-m", "pytest", "-q", "-rs", *plugins, "test_service.py"], project, clean_environ)

    found = [re.sub(r"(SKIPPED \[1\] test_service\.py):\d+", r"\1", line) for line in squeezed(output)]
    found[-1] = re.sub(r" in [\d.]+s$", "", found[-1])
    assert [line for line in squeezed(consoles()["pytest -q -rs"]) if line not in found] == []


@pytest.mark.slow
def test_a_hub_without_a_network(project: Path, clean_environ: dict[str, str]) -> None:
    output = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hub.py"], project, clean_environ)

    assert "1 passed" in output


@pytest.mark.slow
def test_modelenv_env(tmp_path: Path, clean_environ: dict[str, str]) -> None:
    home = {"HF_HOME": "/home/you/.cache/huggingface"}

    output = run(["-m", "modelenv", "env"], tmp_path, {**clean_environ, **home})

    here = output.replace(str(tmp_path), "/home/you/project")
    assert squeezed(here) == squeezed(consoles()["modelenv env"])


def test_the_error_of_a_missing_model(project: Path, clean_environ: dict[str, str]) -> None:
    output = run(["missing.py"], project, clean_environ)

    assert output == text_after("missing.py")


@pytest.mark.parametrize(
    ("option", "section"), [("--fixtures", "fixtures defined from pytest_modelenv"), ("--markers", None)]
)
@pytest.mark.slow
def test_the_tables_match_the_plugin(
    option: str, section: str | None, project: Path, clean_environ: dict[str, str]
) -> None:
    output = run(["-m", "pytest", option, "-p", "no:cacheprovider", "test_hub.py"], project, clean_environ)

    if section:
        ours = output.split(section, 1)[1].split("\n-----", 1)[0]
        names = re.findall(r"^(\w+)(?: \[\w+ scope\])? -- ", ours, re.MULTILINE)
    else:
        names = re.findall(r"^@pytest\.mark\.(integration|model\w*)\b", output, re.MULTILINE)
    assert len(names) >= 3
    table_rows = re.findall(r"^\| `(\w+)", README, re.MULTILINE)
    assert [name for name in names if name not in table_rows] == []


@pytest.mark.slow
def test_the_options_are_in_the_table(project: Path, clean_environ: dict[str, str]) -> None:
    output = run(["-m", "pytest", "--help"], project, clean_environ)

    ours = output.split("models: fakes in unit tests", 1)[1].split("\n\n", 1)[0]
    options = re.findall(r"^  (--[\w-]+)", ours, re.MULTILINE)
    assert len(options) == 8
    assert [option for option in options if f"`{option}" not in README and f" {option} " not in README] == []


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_links_are_valid(page: str) -> None:
    text = (ROOT / page).read_text()
    local = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert [link for link in local if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_benchmarks_named_in_their_readme_exist() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    scripts = set(re.findall(r"benchmarks/(\w+\.py)", text))
    assert scripts == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
