"""`lock`, `pull` and `verify` refuse a set of files that cannot be loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .conftest import Project, write_model

MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
]


@pytest.fixture
def dense(project: Project) -> Project:
    """The locked project. Its second model has modules, and the lock lacks the weights of one module."""
    folder = project.repos / "second"
    (folder / "modules.json").write_text(json.dumps(MODULES))
    write_model(folder / "2_Dense")
    (folder / "2_Dense/tokenizer.json").unlink()
    project.push("second")
    project.run("lock")
    path = project.folder / "modelenv.lock"
    lines = path.read_text().splitlines(keepends=True)
    assert sum("2_Dense/model.safetensors" in line for line in lines) == 1
    path.write_text("".join(line for line in lines if "2_Dense/model.safetensors" not in line))
    return project


@pytest.mark.slow
def test_a_lock_that_lacks_the_weights_of_a_module(dense: Project, tmp_path: Path) -> None:
    what = "1 of the files that its modules need are missing"
    assert f"acme/second: {what}" in dense.run("pull", code=1)
    assert f"acme/second: {what}" in dense.run("pull", "--to", str(tmp_path / "volume"), code=1)
    assert not (tmp_path / "volume" / "model-metadata.yaml").exists()
    commit = next((dense.cache / "models--acme--second/snapshots").iterdir())
    assert dense.lines("verify", code=1)[-3:] == [
        f"second ({commit.name[:12]}): {what} (expected 2_Dense/model.safetensors or 2_Dense/pytorch_model.bin, "
        f"required by modules.json) in PROJECT/cache/models--acme--second/snapshots/{commit.name}",
        "  to fix: run `modelenv lock --upgrade`; if that does not help, the repo is incomplete: use another "
        "revision",
        "PROJECT/cache: 2 models, 1 with problems",
    ]
    assert dense.lines("lock", "--upgrade", "second")[:2] == [
        f"second: commit {commit.name[:12]} as before",
        "  + 2_Dense/model.safetensors",
    ]
    dense.run("pull")
    assert dense.lines("verify")[-1] == "PROJECT/cache: 2 models, all fine"


@pytest.mark.slow
def test_a_lock_of_an_adapter(project: Project) -> None:
    folder = project.repos / "second"
    (folder / "config.json").rename(folder / "adapter_config.json")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    project.hub.add(folder, "acme/second")
    said = project.run("lock", code=1)
    assert "acme/second: this is an adapter (LoRA or another kind of PEFT) without its base model" in said
    assert not (project.folder / "modelenv.lock").exists()


@pytest.mark.slow
def test_pull_of_an_unlocked_model_checks_the_needs_of_its_task(project: Project) -> None:
    (project.repos / "first/tokenizer.json").unlink()
    project.hub.add(project.repos / "first", "acme/first")
    assert "acme/first: its tokenizer files are missing" in project.run("pull", "first", code=1)


@pytest.mark.slow
def test_verify_without_a_lock_finds_dangling_links(project: Project) -> None:
    project.run("pull")
    assert project.lines("verify")[-1] == "PROJECT/cache: 2 models, all fine"
    [path] = (project.cache / "models--acme--first/snapshots").glob("*/tokenizer.json")
    Path(os.path.realpath(path)).unlink()
    assert "a link leads to a file that is missing" in project.run("verify", code=1)
