"""`modelenv pull --to DIR --layout hub`, and the other commands on such a volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.locks.project_lock import read_lockfile
from modelenv.locks.values import LockedModel

from .conftest import Project

pytestmark = pytest.mark.slow


def locked_model(project: Project, alias: str) -> LockedModel:
    model = read_lockfile(project.folder / "modelenv.lock").by_alias(alias)
    assert model is not None
    return model


def folder_of(model: LockedModel) -> str:
    return f"models--{model.repo.replace('/', '--')}/snapshots/{model.commit}"


def test_the_commands_on_a_volume_with_the_layout_hub(filled: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    first, second = (folder_of(locked_model(filled, alias)) for alias in ("first", "second"))
    assert filled.lines("pull", "--to", str(volume), "--layout", "hub") == [
        f"first: {first}, copied",
        f"second: {second}, copied",
        f"{volume}: 2 models, metadata written",
    ]
    again = filled.json("pull", "--to", str(volume))
    assert (again["layout"], again["changed"], again["folders"]["first"]) == ("hub", False, first)
    assert filled.lines("verify", "--volume", str(volume))[-1] == f"{volume}: 2 models, all fine"
    assert [row["path"] for row in filled.json("list", "--volume", str(volume))["models"]] == [
        f"{volume}/{first}", f"{volume}/{second}",
    ]  # fmt: skip
    examined = filled.run("doctor", MODEL_SOURCE="local_cache", MODEL_VOLUME_DIR=str(volume))
    assert f"{volume}, 2 models" in examined

    filled.push("second", newer=True)
    filled.prepare("lock", "--upgrade", "second")
    filled.prepare("pull", "--to", str(volume))
    home = volume / "models--acme--second"
    assert (home / "refs/main").read_text() == locked_model(filled, "second").commit
    assert filled.lines("prune", "--volume", str(volume), "--dry-run")[0] == f"would remove {volume}/{second}"
    assert filled.lines("prune", "--volume", str(volume))[0] == f"removed {volume}/{second}"

    lines = filled.lines("pull", "--to", str(volume), "--layout", "plain")
    assert lines == [
        "first: acme/first, copied",
        "second: acme/second, copied",
        f"{volume}: 2 models, metadata written",
    ]
    assert len(filled.json("prune", "--volume", str(volume))["removed"]) == 4  # a snapshot and a reference of each
    assert filled.lines("verify", "--volume", str(volume))[-1] == f"{volume}: 2 models, all fine"


def test_verify_finds_what_only_other_programs_would_read(filled: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    text = (filled.folder / "pyproject.toml").read_text()
    weights = 'files = ["*.safetensors", "config.json"]'
    (filled.folder / "pyproject.toml").write_text(text + f'weights = {{ repo = "acme/second", {weights} }}\n')
    configuration = 'files = ["*.json"]'
    text = (filled.folder / "pyproject.toml").read_text().replace(
        'second = "acme/second"', f'second = {{ repo = "acme/second", {configuration} }}'
    )  # fmt: skip
    (filled.folder / "pyproject.toml").write_text(text)
    filled.prepare("lock")
    filled.prepare("pull", "--to", str(volume), "--layout", "hub")
    assert filled.lines("verify", "--volume", str(volume))[-1] == f"{volume}: 3 models, all fine"
    model = locked_model(filled, "second")
    snapshot = volume / folder_of(model)
    assert sorted(path.name for path in snapshot.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    (snapshot / "config.json").unlink()
    (volume / "models--acme--first/refs/main").write_text("0" * 40)
    first = locked_model(filled, "first")
    lines = filled.lines("verify", "--volume", str(volume), code=1)
    assert lines[3:] == [
        f"acme/second ({model.commit[:12]}): 1 difference in {snapshot}",
        "  missing config.json: expected 22 bytes",
        f"acme/first ({first.commit[:12]}): the reference names {'0' * 40} in {volume}/models--acme--first/refs/main",
        f"{volume}: 5 models, 2 with problems",
        f"to fix: modelenv pull --to {volume}",
    ]
    assert filled.json("verify", "weights", "--volume", str(volume), code=1)["models"][1]["name"] == "acme/second"
    filled.prepare("pull", "--to", str(volume))
    assert filled.lines("verify", "--volume", str(volume))[-1] == f"{volume}: 3 models, all fine"
