"""Settings depend on the working folder, on variables and on files; a change of any of them is detected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.environment.inputs import Inputs
from modelenv.environment.settings import Settings


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(tmp_path / "volume"))
    return tmp_path


def metadata(project: Path) -> None:
    (project / "volume").mkdir()
    (project / "volume/model-metadata.yaml").touch()


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "a variable": lambda _, patch: patch.setenv("MODEL_TIMEOUT", "7"),
    "a variable that a probe asks for": lambda _, patch: patch.setenv("GITHUB_ACTIONS", "true"),
    "no test any more": lambda _, patch: patch.delenv("PYTEST_CURRENT_TEST"),
    "the working folder": lambda project, patch: patch.chdir(project),
    "the project's file": lambda project, _: (project / "pyproject.toml").write_text("[tool.modelenv]\n"),
    "a nearer project's file": lambda project, _: (project / "inner/pyproject.toml").touch(),
    "the home that a path may begin with": lambda project, patch: patch.setenv("HOME", str(project)),
    "a file of variables": lambda project, _: (project / ".env").write_text("MODEL_TIMEOUT=7\n"),
    "a volume": lambda project, _: metadata(project),
    "a folder that is gone": lambda project, _: (project / "inner").rmdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_detected(project: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    inputs = Inputs.of(Settings.load())
    assert inputs.are_unchanged()
    CHANGES[change](project, monkeypatch)
    assert not inputs.are_unchanged()


def test_without_a_project_a_new_file_in_any_folder_above_is_detected(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    inputs = Inputs.of(Settings.load())
    (project / "pyproject.toml").touch()
    assert not inputs.are_unchanged()


def test_other_variables_and_another_test_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs.of(Settings.load())
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "test_another.py::test (call)")
    monkeypatch.setenv("PATH", "/nowhere")
    assert inputs.are_unchanged()
