"""`[tool.modelenv]` in `pyproject.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.environment.project import Alias, ProjectFile, find_project_file, read_project_file
from modelenv.errors import ConfigurationError
from modelenv.references import ModelRef


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "pyproject.toml"


def refuse(project: Path, text: str) -> str:
    project.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_project_file(project)
    return str(caught.value)


def test_settings_and_aliases(project: Path) -> None:
    project.write_text(
        "[tool.modelenv]\n"
        'source = "local_cache"\ncache_dir = "models"\nvolume_dir = "/mnt"\ntimeout = 9\ndevice = "cpu"\n'
        "[tool.modelenv.models]\n"
        'plain = "org/name"\n'
        'full = { repo = "org/name", task = "sentiment", revision = "v1" }\n'
    )
    read = read_project_file(project)
    assert read.settings == {
        "source": "local_cache", "cache_dir": "models", "volume_dir": "/mnt", "timeout": 9, "device": "cpu",
    }  # fmt: skip
    assert read.models == {
        "plain": Alias(ModelRef("org/name")),
        "full": Alias(ModelRef("org/name", "v1"), "sentiment"),
    }
    assert (read.path, read.folder) == (project, project.parent)


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "# modelenv\n[tool.other]\n", "[tool.modelenv]\n"])
def test_a_project_without_settings(project: Path, text: str) -> None:
    project.write_text(text)
    assert read_project_file(project) == ProjectFile(project)


def test_no_project() -> None:
    assert read_project_file(None) == ProjectFile()
    assert ProjectFile().folder is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[tool.modelenv]\ncachedir = 'x'",
            "unknown key 'cachedir' in {file}: [tool.modelenv]\n"
            "  expected: one of cache_dir, device, source, timeout, volume_dir",
        ),
        ("[tool]\nmodelenv = 3", "wrong value for {file}: [tool.modelenv]\n  expected: a table\n  found: 3"),
        ("tool = 'modelenv'", "wrong value for {file}: tool\n  expected: a table\n  found: 'modelenv'"),
        (
            "[tool.modelenv]\nmodels = ['a']",
            "wrong value for {file}: [tool.modelenv.models]\n  expected: a table\n  found: ['a']",
        ),
        (
            "[tool.modelenv.models]\nx = 3",
            "wrong value for {file}: [tool.modelenv.models] x\n"
            "  expected: the repo id as text, or a table\n  found: 3",
        ),
        (
            "[tool.modelenv.models]\nx = { repo = 'a', tsak = 'ner' }",
            "unknown key 'tsak' in {file}: [tool.modelenv.models] x\n  expected: one of files, repo, revision, task",
        ),
        (
            "[tool.modelenv.models]\nx = { task = 'ner' }",
            'the model has no repo\n  expected: x = {{ repo = "org/name" }}\n'
            "  found: {file}: [tool.modelenv.models] x",
        ),
        (
            "[tool.modelenv.models]\nx = '../etc'",
            "a model's name must not point outside of its folder (in {file}: [tool.modelenv.models] x)\n"
            "  found: '../etc'\n  what to do: use the model's name on the Hub, 'organisation/name' or 'name', or an "
            "alias from [tool.modelenv.models]",
        ),
        (
            "[tool.modelenv.models]\n'my model' = 'a'",
            "not a valid model name (in {file}: [tool.modelenv.models] my model)\n  found: 'my model'\n",
        ),
        (
            "[tool.modelenv.models]\n'mödel' = 'a'",
            "not a valid model name (in {file}: [tool.modelenv.models] mödel)\n  found: 'mödel'\n",
        ),
        (
            "[tool.modelenv.models]\nx = { repo = 'a', task = 'nerr' }",
            "unknown task 'nerr' (in {file}: [tool.modelenv.models] x)\n  expected: one of ",
        ),
        (
            "[tool.modelenv.models]\nx = { repo = 'a', task = 3 }",
            "a task must be text (in {file}: [tool.modelenv.models] x)\n  found: 3",
        ),
        (
            "[tool.modelenv.models]\nx = { repo = 'a', task = ['ner'] }",
            "a task must be text (in {file}: [tool.modelenv.models] x)\n  found: ['ner']",
        ),
        (
            "[tool.modelenv.models]\nx = { repo = 3 }",
            "a model's name must be text (in {file}: [tool.modelenv.models] x)\n  found: 3",
        ),
        (
            "[tool.modelenv.models]\nx = { repo = 'a', revision = 3 }",
            "not a valid revision (in {file}: [tool.modelenv.models] x)\n  expected: a branch, a tag, ",
        ),
        ("[tool.modelenv\n", "not valid TOML\n  found: {file}: "),
    ],
)
def test_an_error_names_the_wrong_value_and_its_place(project: Path, text: str, expected: str) -> None:
    assert refuse(project, text).startswith(expected.format(file=project))


def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    project.write_bytes(b"# \xff modelenv")
    with pytest.raises(ConfigurationError) as caught:
        read_project_file(project)
    assert str(caught.value).startswith(f"the project file cannot be read\n  found: {project}: 'utf-8' codec ")


def test_the_nearest_file_upwards_is_used(project: Path) -> None:
    inner = project.parent / "a" / "b"
    inner.mkdir(parents=True)
    project.touch()
    assert find_project_file(inner) == project
    nearer = inner.parent / "pyproject.toml"
    nearer.touch()
    assert find_project_file(inner) == nearer
    assert find_project_file(project.parent) == project


def test_a_relative_folder_is_looked_up_from_the_working_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.touch()
    (project.parent / "a").mkdir()
    monkeypatch.chdir(project.parent)
    assert find_project_file(Path("a")) == project


def test_a_folder_with_that_name_is_ignored(project: Path) -> None:
    (project.parent / "a" / "pyproject.toml").mkdir(parents=True)
    project.touch()
    assert find_project_file(project.parent / "a") == project


def test_no_file_at_all() -> None:
    assert find_project_file(Path("/")) is None
