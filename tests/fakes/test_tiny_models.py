"""Tiny real models: their size, their bytes, and where they are written. The contract tests load them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelenv.errors import ConfigurationError
from modelenv.tasks import TASKS
from modelenv.testing import tiny_model
from modelenv.tiny import BUILDERS

MEGABYTE = 1_000_000
NEEDS = {"table-question-answering": "pandas"}


def test_there_is_a_tiny_model_for_every_task() -> None:
    assert set(BUILDERS) == TASKS


@pytest.mark.integration
@pytest.mark.parametrize("task", sorted(BUILDERS))
def test_the_same_seed_writes_the_same_bytes_under_a_megabyte(task: str, tmp_path: Path) -> None:
    if task in NEEDS:
        pytest.importorskip(NEEDS[task])
    first, second = tiny_model(task, tmp_path / "first"), tiny_model(task, tmp_path / "second")
    files = {path.name: path.read_bytes() for path in first.iterdir()}
    assert files == {path.name: path.read_bytes() for path in second.iterdir()}
    assert sum(map(len, files.values())) < MEGABYTE
    assert {path.stat().st_mode & 0o777 for path in first.iterdir()} == {0o644}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


@pytest.mark.integration
def test_another_seed_writes_other_weights_and_does_not_change_the_state_of_torch(tmp_path: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    first = tiny_model("fill-mask", tmp_path / "first")
    second = tiny_model("fill-mask", tmp_path / "second", seed=1)
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()
    assert (first / "config.json").read_bytes() == (second / "config.json").read_bytes()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.integration
def test_without_a_folder_the_model_is_built_once_and_deleted_at_the_end() -> None:
    code = (
        "from modelenv.testing import tiny_model\n"
        "first = tiny_model('fill-mask')\n"
        "assert tiny_model('fill-mask') == first and tiny_model('fill-mask', seed=1) != first\n"
        "print(first)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert not Path(done.stdout.strip()).parent.exists()


def test_an_existing_model_is_kept(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("kept")
    assert tiny_model("fill-mask", tmp_path) == tmp_path
    assert (tmp_path / "config.json").read_text() == "kept"


def test_a_folder_with_other_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="the path for the model is already used by something else"):
        tiny_model("fill-mask", tmp_path)


def test_a_task_without_a_tiny_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelenv.testing.BUILDERS", {"decision": ""})
    with pytest.raises(ConfigurationError) as caught:
        tiny_model("fill-mask")
    assert str(caught.value) == (
        "there is no tiny model for the task 'fill-mask'\n"
        "  expected: one of decision\n"
        "  what to do: use one of these tasks, or save a small model of your own"
    )
