"""`modelenv adopt -- COMMAND`: the models that a program asks for are locked, and then it runs without the Hub."""

from __future__ import annotations

import json
import sys

import pytest

from .conftest import Project, write_model

pytestmark = pytest.mark.slow  # each of these starts many processes

FILE = "from huggingface_hub import hf_hub_download as d; print(d('acme/first', 'config.json'))"
LOAD = f"{FILE}; d('acme/first', 'model.safetensors')"
# A program that starts another one, which starts a third.
DEEP = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {FILE!r}], check=True)"
DEEPER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DEEP!r}], check=True)"
ELSEWHERE = (
    "from huggingface_hub import HfApi, hf_hub_download as d\n"
    "d('acme/first', 'config.json', revision='{commit}')\n"
    "for repo in ('acme/gone', 'acme/data'):\n"
    "    try:\n"
    "        d(repo, 'a.csv', repo_type='dataset' if repo == 'acme/data' else 'model')\n"
    "    except Exception:\n"
    "        pass\n"
    "try:\n"
    "    list(HfApi().list_models())\n"
    "except Exception:\n"
    "    pass\n"
)


@pytest.fixture
def undeclared(project: Project) -> Project:
    """The project, in which no models are declared."""
    (project.folder / "pyproject.toml").write_text("[project]  # ours\nname = 'x'\n")
    return project


def adopt(project: Project, code: str, *options: str, exit_code: int = 0) -> list[str]:
    lines = project.lines("adopt", *options, "--", sys.executable, "-c", code, code=exit_code)
    return [" ".join(line.split()) for line in lines if not line.startswith(project.environ["HF_HOME"])]


def commit_of(project: Project) -> str:
    lines = (project.folder / "modelenv.lock").read_text().splitlines()
    return next(line for line in lines if line.startswith("commit =")).split('"')[1]


def test_a_program(undeclared: Project) -> None:
    lines = adopt(undeclared, LOAD)
    commit = commit_of(undeclared)
    assert (
        lines
        == [
            f"PROJECT/cache/models--acme--first/snapshots/{commit}/config.json",  # in the second run
            "model commit size tests requests without the Hub",
            f"acme/first {commit[:12]} 197 B 0 4 0",
            "PROJECT/pyproject.toml: 1 model added",
            "second run: 0 failed; commit pyproject.toml and modelenv.lock",
        ]
    )
    written = "[project]  # ours\nname = 'x'\n\n[tool.modelenv.models]\nfirst = \"acme/first\"\n"
    assert (undeclared.folder / "pyproject.toml").read_text() == written
    again = adopt(undeclared, LOAD)
    assert again[-2:] == ["PROJECT/pyproject.toml: unchanged", lines[-1]]
    assert (undeclared.folder / "pyproject.toml").read_text() == written
    assert commit_of(undeclared) == commit


def test_without_a_project_file_one_is_created(undeclared: Project) -> None:
    (undeclared.folder / "pyproject.toml").unlink()
    assert "PROJECT/pyproject.toml: 1 model added" in adopt(undeclared, DEEPER)
    text = (undeclared.folder / "pyproject.toml").read_text()
    assert text == '[tool.modelenv.models]\nfirst = { repo = "acme/first", files = ["config.json"] }\n'


def test_a_dry_run_writes_nothing(undeclared: Project) -> None:
    assert adopt(undeclared, FILE, "--dry-run") == [
        "--- a/pyproject.toml",
        "+++ b/pyproject.toml",
        "@@ -1,2 +1,5 @@",
        "[project] # ours",
        "name = 'x'",
        "+",
        "+[tool.modelenv.models]",
        '+first = { repo = "acme/first", files = ["config.json"] }',
    ]
    assert sorted(each.name for each in undeclared.folder.iterdir()) == ["pyproject.toml"]
    assert adopt(undeclared, "pass", "--dry-run") == ["PROJECT/pyproject.toml: nothing to declare"]


def test_leftovers_and_another_revision(undeclared: Project) -> None:
    commit = undeclared.push("first")
    undeclared.push("first", later=True)
    elsewhere = ELSEWHERE.format(commit=commit)
    found = json.loads(undeclared.run("adopt", "--json", "--", sys.executable, "-c", elsewhere))
    assert [row["model"] for row in found["models"]] == [f"acme/first@{commit}"]
    assert found["added"] == [f"first-{commit[:12]}"]
    assert [each.rpartition(" (")[0].replace(undeclared.hub.endpoint, "HUB") for each in found["leftovers"]] == [
        "HUB/api/models: only requests about one model are answered",
        "the dataset acme/data: only models are locked",
        "acme/gone: not on the Hub, or not accessible",
    ]
    assert found["codes"] == [0, 0]


def test_a_program_that_fails_is_not_adopted(undeclared: Project) -> None:
    assert adopt(undeclared, f"{FILE}; raise SystemExit(7)", exit_code=7) == [
        "first run: the command failed with exit code 7, so nothing was written"
    ]
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert adopt(undeclared, killed, exit_code=143) == [
        "first run: the command failed with exit code 143, so nothing was written"
    ]
    assert sorted(each.name for each in undeclared.folder.iterdir()) == ["pyproject.toml"]


def test_a_program_that_fails_without_the_hub(undeclared: Project) -> None:
    code = f"{FILE}; import os, sys; sys.exit(3 if 'MODEL' in os.environ['MODELENV_ADOPTION'] else 0)"
    code = code.replace("'MODEL'", repr(str(undeclared.folder)))
    lines = adopt(undeclared, code, exit_code=3)
    assert lines[-1] == "second run: the command failed with exit code 3 (first run: 0)"
    assert commit_of(undeclared)


def test_a_model_that_cannot_be_locked(undeclared: Project) -> None:
    """What was declared stays, so that it can be corrected."""
    folder = write_model(undeclared.repos / "sharded")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "missing.safetensors"}}')
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    undeclared.hub.add(folder, "acme/sharded")
    code = "from huggingface_hub import hf_hub_download as d; d('acme/sharded', 'part.safetensors')"
    lines = adopt(undeclared, code, exit_code=1)
    assert [line for line in lines if line.startswith("error: ")] == [lines[3]], lines
    assert 'sharded = "acme/sharded"' in (undeclared.folder / "pyproject.toml").read_text()
    assert not (undeclared.folder / "modelenv.lock").exists()


def test_commands_that_cannot_be_observed(undeclared: Project) -> None:
    assert undeclared.lines("adopt", "no-such-command", code=1)[0] == "error: there is no such command"
    assert undeclared.lines("adopt", "true", code=1) == [
        "first run: no Python process of the command could be observed, so nothing was written; install modelenv in "
        "the environment of the command, and do not start Python with -I, -E or -S"
    ]
    assert adopt(undeclared, "print('ran')") == [
        "ran",
        "the command asked for no model on the Hub: nothing to declare",
    ]
