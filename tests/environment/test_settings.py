"""Settings: which value wins, its origin, and its errors."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from modelenv.environment.detection import detect_environment
from modelenv.environment.project import Alias, find_project_file
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError
from modelenv.references import ModelRef

VARIABLES = {
    "source": "MODEL_SOURCE",
    "cache_dir": "MODEL_CACHE_DIR",
    "volume_dir": "MODEL_VOLUME_DIR",
    "timeout": "MODEL_TIMEOUT",
    "environment": "ENVIRONMENT",
}
# Four different values for each setting: from an argument, a variable, .env and pyproject.toml.
VALUES: dict[str, tuple[Any, Any, Any, Any]] = {
    "source": ("mock_models", "local_cache", "huggingface_hub", "persistent_volume"),
    "cache_dir": ("/c1", "/c2", "/c3", "/c4"),
    "volume_dir": ("/v1", "/v2", "/v3", "/v4"),
    "timeout": (1, "2", "3", 4),
    "device": ("cuda:1", None, None, "cpu"),
    "environment": ("production", "staging", "development", None),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder, which is not the working folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    return folder


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def load(project: Path, environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    return Settings.load(project_dir=project, environ=environ or {}, **arguments)


def refuse(project: Path, environ: dict[str, str] | None = None, **arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(project, environ, **arguments)
    return str(caught.value)


def write_toml(project: Path, **values: Any) -> Path:
    file = project / "pyproject.toml"
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    file.write_text("\n".join(["[tool.modelenv]", *lines]))
    return file


def test_the_defaults(project: Path, working: Path) -> None:
    settings = load(project)
    assert settings.source is None
    assert settings.cache_dir == working / "model_cache"
    assert settings.volume_dir == Path("/app/models")
    assert (settings.timeout, settings.device, settings.environment) == (None, "auto", None)
    assert (dict(settings.models), dict(settings.variables)) == ({}, {})
    assert dict(settings.origins) == dict.fromkeys(VALUES, "default")


@pytest.mark.parametrize("field", VALUES)
def test_argument_then_variable_then_env_file_then_project(project: Path, field: str) -> None:
    argument, variable, in_file, in_project = VALUES[field]
    name = VARIABLES.get(field, "")
    seen = []
    if in_project is not None:
        pyproject = write_toml(project, **{field: in_project})
        settings = load(project)
        seen.append((getattr(settings, field), in_project, settings.origins[field]))
        assert seen[-1][2] == f"[tool.modelenv] in {pyproject}"
    if in_file is not None:
        (project / ".env").write_text(f"{name}={in_file}\n")
        settings = load(project)
        seen.append((getattr(settings, field), in_file, settings.origins[field]))
        assert seen[-1][2] == f"{name} in {project}/.env"
    if variable is not None:
        settings = load(project, {name: variable})
        seen.append((getattr(settings, field), variable, settings.origins[field]))
        assert seen[-1][2] == f"variable {name}"
    settings = load(project, {name: variable} if variable else {}, **{field: argument})
    seen.append((getattr(settings, field), argument, settings.origins[field]))
    assert seen[-1][2] == "argument"
    assert [str(value).removesuffix(".0") for value, _, _ in seen] == [str(wanted) for _, wanted, _ in seen]
    others = {name: origin for name, origin in settings.origins.items() if name != field}
    assert set(others.values()) == {"default"}


def test_relative_paths(project: Path, working: Path) -> None:
    write_toml(project, cache_dir="in_project", volume_dir="../beside")
    assert load(project).cache_dir == project / "in_project"
    assert load(project).volume_dir == project / "../beside"
    (project / ".env").write_text("MODEL_CACHE_DIR=in_file\n")
    assert load(project).cache_dir == working / "in_file"
    assert load(project, {"MODEL_CACHE_DIR": "by_variable"}).cache_dir == working / "by_variable"
    assert load(project, cache_dir=Path("by_argument")).cache_dir == working / "by_argument"


def test_a_path_can_start_with_the_home_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert load(project, cache_dir="~/models").cache_dir == Path("/home/me/models")
    assert load(project, {"MODEL_VOLUME_DIR": "~/v\n"}).volume_dir == Path("/home/me/v")


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_variable_counts_as_unset(project: Path, empty: str) -> None:
    (project / ".env").write_text("MODEL_SOURCE=local_cache\nTESTING=true\nMODEL_TIMEOUT=\n")
    settings = load(project, {"MODEL_SOURCE": empty, "TESTING": empty, "PYTEST_VERSION": empty})
    assert settings.origins["source"] == f"MODEL_SOURCE in {project}/.env"
    assert settings.timeout is None
    assert dict(settings.variables) == {"TESTING": "true"}


def test_the_variables_of_the_probes_come_from_the_environment_then_the_file(project: Path) -> None:
    (project / ".env").write_text("TESTING=true\nGITHUB_ACTIONS=true\nOTHER=x\n")
    settings = load(project, {"TESTING": "false", "PYTEST_VERSION": "9", "HOME": "/"})
    assert dict(settings.variables) == {"TESTING": "false", "GITHUB_ACTIONS": "true", "PYTEST_VERSION": "9"}


def test_the_env_file_of_the_original_design(project: Path, working: Path) -> None:
    (working / ".env.development").write_text("MODEL_CACHE_DIR=./model_cache\nENVIRONMENT=development\n")
    (project / ".env").write_text("ENVIRONMENT=ignored\n")
    settings = load(project, env_file=".env.development")
    assert settings.environment == "development"
    assert settings.cache_dir == working / "model_cache"
    assert settings.origins["cache_dir"] == "MODEL_CACHE_DIR in .env.development"
    model = working / "model_cache" / "org" / "name"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    assert detect_environment(settings=settings) is ModelSource.LOCAL_CACHE
    assert settings.root_of(ModelSource.DOWNLOAD_ON_DEMAND) == working / "model_cache"


def test_the_project_and_its_env_file_are_found_upwards(project: Path) -> None:
    (project / ".env").write_text("ENVIRONMENT=found\n")
    (project / "src").mkdir()
    assert load(project / "src").environment == "found"


def test_without_a_project_file_the_folder_is_the_project(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    if find_project_file(project) is not None:
        pytest.skip("the folder for temporary files lies in a project")
    (project / ".env").write_text("MODEL_CACHE_DIR=x\nENVIRONMENT=found\n")
    assert load(project).environment == "found"


def test_a_virtual_environment_called_env_is_not_an_env_file(project: Path) -> None:
    (project / ".env").mkdir()
    assert load(project).environment is None
    assert refuse(project, env_file=project / ".env").startswith("the env file cannot be read\n")


def test_an_env_file_must_exist_and_be_text(project: Path) -> None:
    assert refuse(project, env_file="missing.env") == ("the env file does not exist\n  found: missing.env")
    (project / ".env").write_bytes(b"A=\xff")
    assert refuse(project).startswith(f"the env file cannot be read\n  found: {project}/.env: 'utf-8'")


def test_aliases_are_there(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.modelenv.models]\nstock = "ProsusAI/finbert"\n')
    assert dict(load(project).models) == {"stock": Alias(ModelRef("ProsusAI/finbert"))}


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "soon", True, [1], 1e300, 10**400])
def test_a_wrong_timeout(project: Path, value: Any) -> None:
    assert refuse(project, timeout=value) == (
        "timeout: a timeout must be a positive number of seconds (from argument)\n"
        f"  expected: more than 0, at most 31536000\n  found: {value!r}"
    )


@pytest.mark.parametrize("value", ["", " ", "a\0b", 3, b"x", ["x"]])
def test_a_wrong_path(project: Path, value: Any) -> None:
    assert refuse(project, cache_dir=value) == (
        f"cache_dir: this setting must be a path (from argument)\n  found: {value!r}"
    )


def test_the_home_folder_of_an_unknown_user(project: Path) -> None:
    assert refuse(project, {"MODEL_CACHE_DIR": "~no-such-user/x"}) == (
        "cache_dir: the path starts with an unknown user's home folder (from variable MODEL_CACHE_DIR)\n"
        "  found: '~no-such-user/x'"
    )


@pytest.mark.parametrize("value", ["", " ", 3])
def test_a_wrong_device(project: Path, value: Any) -> None:
    assert refuse(project, device=value) == (f"device: this setting must be text (from argument)\n  found: {value!r}")


def test_each_error_says_where_the_value_came_from(project: Path) -> None:
    pyproject = write_toml(project, source="cloud")
    assert refuse(project) == (
        f"source: unknown model source (from [tool.modelenv] in {pyproject})\n"
        "  expected: one of persistent_volume, mock_models, download_on_demand, local_cache, huggingface_hub\n"
        "  found: 'cloud'\n"
        "  what to do: correct MODEL_SOURCE, or the option or argument that names the source"
    )
    (project / ".env").write_text("MODEL_SOURCE=fog\n")
    assert f"(from MODEL_SOURCE in {project}/.env)" in refuse(project)
    assert "(from variable MODEL_SOURCE)" in refuse(project, {"MODEL_SOURCE": "mist"})
    assert "(from argument)" in refuse(project, source="haze")


def test_an_unknown_setting(project: Path) -> None:
    assert refuse(project, cachedir="x") == (
        "unknown setting 'cachedir'\n"
        "  expected: one of cache_dir, device, environment, source, timeout, volume_dir\n"
        "  found: cachedir"
    )


def test_settings_are_frozen(project: Path) -> None:
    settings = load(project)
    with pytest.raises(FrozenInstanceError):
        settings.device = "cpu"  # type: ignore[misc]
    for mapping in (settings.models, settings.variables, settings.origins):
        with pytest.raises(TypeError):
            mapping["x"] = "y"  # type: ignore[index]


def test_without_arguments_the_process_and_its_folder_are_used(
    working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (working / "pyproject.toml").write_text("[tool.modelenv]\ndevice = 'cpu'\n")
    monkeypatch.setenv("MODEL_CACHE_DIR", "here")
    settings = Settings.load()
    assert (settings.device, settings.cache_dir) == ("cpu", working / "here")


def test_a_working_folder_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value) == "the working folder no longer exists\n  what to do: change to another folder"


def test_the_timeout_of_a_source(project: Path) -> None:
    assert load(project).timeout_of(ModelSource.LOCAL_CACHE) == 60.0
    assert load(project, timeout=7).timeout_of(ModelSource.LOCAL_CACHE) == 7.0


def test_the_root_of_each_source(project: Path, working: Path) -> None:
    settings = load(project)
    assert settings.root_of(ModelSource.MOCK_MODELS) is None
    assert settings.root_of(ModelSource.PERSISTENT_VOLUME) == Path("/app/models")
    assert settings.root_of(ModelSource.LOCAL_CACHE) == working / "model_cache"
    private = settings.root_of(ModelSource.DOWNLOAD_ON_DEMAND)
    assert private is not None
    assert private.is_relative_to(tempfile.gettempdir())
    assert not private.is_relative_to(working)
    assert load(project, cache_dir="/c").root_of(ModelSource.DOWNLOAD_ON_DEMAND) == Path("/c")


def test_the_hub_source_uses_the_clients_cache(project: Path) -> None:
    code = (
        "import sys; from modelenv import ModelSource, Settings\n"
        "print(Settings.load().root_of(ModelSource.HUGGINGFACE_HUB))\n"
        "print('huggingface_hub.hf_api' in sys.modules)\n"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "HF_HOME": "/somewhere/hf"},
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "/somewhere/hf/hub\nFalse\n"
