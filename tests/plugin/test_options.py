"""Options, variables and ini-file: their values, the header, and the errors for invalid values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .projects import N2, NO_XDIST, all_modes, controllers, errors_of, header_of

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

ONE_TEST = "def test_nothing():\n    pass\n"
REAL = ("--real-models", "--model-host=off")  # this starts no process


@pytest.fixture
def project(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The project with one test. Its folder for temporary files is empty before and after."""
    project.makepyfile(ONE_TEST)
    project.mkdir("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(project.path / "temporary"))
    return project


def temporary_files(project: pytest.Pytester) -> list[Path]:
    return list((project.path / "temporary").iterdir())


@controllers
def test_header_without_options(run_tests: RunTests, mode: tuple[str, ...]) -> None:
    result = run_tests(*mode)
    result.assert_outcomes(passed=1)
    assert header_of(result) == "modelenv: fakes; real models with --real-models"


@controllers
def test_header_with_defaults(run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    result = run_tests(*mode, *REAL)
    cache = project.path / ".pytest_cache" / "d" / "modelenv"
    assert header_of(result) == (
        f"modelenv: real models from download_on_demand (default), cache {cache} (pytest's cache folder)"
    )
    assert temporary_files(project) == []


def test_the_precedence_of_the_cache_folder(
    run_tests: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "pyproject.toml").write_text('[tool.modelenv]\ncache_dir = "from_project"\n')
    ending = header_of(run_tests(*REAL))
    assert ending.endswith(f"cache {project.path}/from_project ([tool.modelenv] in {project.path}/pyproject.toml)")
    (project.path / ".env").write_text("MODEL_CACHE_DIR=from_env_file\n")
    ending = header_of(run_tests(*REAL))
    assert ending.endswith(f"cache {project.path}/from_env_file (MODEL_CACHE_DIR in {project.path}/.env)")
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nmodel_cache_dir = from_ini\n")
    folder = project.mkdir("elsewhere")
    ending = header_of(run_tests(*REAL))
    assert ending.endswith(f"cache {project.path}/from_ini (ini-option model_cache_dir)")
    monkeypatch.setenv("MODEL_CACHE_DIR", "from_variable")
    ending = header_of(run_tests(*REAL))
    assert ending.endswith(f"cache {project.path}/from_variable (variable MODEL_CACHE_DIR)")
    monkeypatch.chdir(folder)
    ending = header_of(run_tests(*REAL, "--model-cache-dir", "from_option", str(project.path)))
    assert ending.endswith(f"cache {folder}/from_option (--model-cache-dir)")


def test_without_pytests_cache_the_folder_belongs_to_the_run(run_tests: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_folder(model_cache_dir):
            model_cache_dir.mkdir(exist_ok=True)
            assert model_cache_dir.parent.parent.name == "temporary"
        """
    )
    result = run_tests("-p", "no:cacheprovider", *REAL)
    result.assert_outcomes(passed=1)
    assert header_of(result).endswith("/cache (a folder of this run, because pytest has no cache folder)")
    assert temporary_files(project) == []


@all_modes
def test_every_process_gets_the_projects_folder(
    run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    (project.path / "pyproject.toml").write_text('[tool.modelenv]\ncache_dir = "from_project"\n')
    project.makepyfile(
        """
        import os, pathlib, modelenv
        def test_folder(model_cache_dir, model_env):
            assert model_cache_dir == pathlib.Path("from_project").absolute()
            model_env("download_on_demand")
            assert os.environ["MODEL_CACHE_DIR"] == str(model_cache_dir)
            assert modelenv.model_manager.settings.cache_dir == model_cache_dir
        """
    )
    run_tests(*mode).assert_outcomes(passed=1)


@pytest.mark.parametrize("extra", [(), ("-p", "no:cacheprovider")], ids=["cache", "no-cache"])
@pytest.mark.slow
def test_workers_share_the_controllers_folders(
    run_tests: RunTests, project: pytest.Pytester, extra: tuple[str, ...]
) -> None:
    project.makepyfile(
        """
        import os, pathlib, pytest
        @pytest.mark.parametrize("number", range(8))
        def test_folder(model_cache_dir, number):
            model_cache_dir.mkdir(exist_ok=True)
            (model_cache_dir / os.environ["PYTEST_XDIST_WORKER"]).touch()
            pathlib.Path(f"folder-{number}").write_text(str(model_cache_dir))
        """
    )
    result = run_tests(*N2, *extra, *REAL)
    result.assert_outcomes(passed=8)
    (folder,) = {path.read_text() for path in project.path.glob("folder-*")}
    assert f"cache {folder} (" in header_of(result)
    assert Path(folder).is_dir() is (not extra)
    assert temporary_files(project) == []


def test_the_local_cache_is_the_projects_own(
    run_tests: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = header_of(run_tests(*REAL, "--model-source", "local_cache"))
    assert header.endswith(f"cache {project.path}/model_cache (the local cache, default)")
    (project.path / ".env").write_text("MODEL_CACHE_DIR=from_env_file\n")
    header = header_of(run_tests(*REAL, "--model-source", "local_cache"))
    assert header.endswith(f"cache {project.path}/from_env_file (MODEL_CACHE_DIR in {project.path}/.env)")
    monkeypatch.setenv("MODEL_TIMEOUT", "soon")
    result = run_tests(*REAL, "--model-source", "local_cache")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == [
        "timeout: a timeout must be a positive number of seconds (from variable MODEL_TIMEOUT)"
    ]


@pytest.mark.parametrize("source", ["persistent_volume", "huggingface_hub"])
def test_other_sources_have_no_cache_folder(run_tests: RunTests, source: str) -> None:
    header = header_of(run_tests(*REAL, "--model-source", source))
    assert header == f"modelenv: real models from {source} (--model-source)"


@all_modes
@pytest.mark.parametrize("source", ["nowhere", "mock_models"])
def test_only_real_sources_are_valid(run_tests: RunTests, mode: tuple[str, ...], source: str) -> None:
    result = run_tests(*mode, "--model-source", source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == [
        f"--model-source: '{source}' is not a source of real models; choose one of persistent_volume, "
        "download_on_demand, local_cache, huggingface_hub"
    ]


def test_the_help_names_the_sources(run_tests: RunTests) -> None:
    from modelenv import ModelSource

    text = " ".join(run_tests("--help").stdout.str().split())
    for source in ModelSource:
        assert (source.value in text) is (source is not ModelSource.MOCK_MODELS)
    assert "--real-models run the tests marked `integration`, with real models; all others still get fakes" in text
    assert "model_cache_dir (string): folder of models that all workers share, relative to rootdir" in text


def test_an_invalid_cache_folder(run_tests: RunTests, project: pytest.Pytester) -> None:
    file = project.path / "file"
    file.touch()
    assert errors_of(run_tests("--model-cache-dir", "file")) == [f"--model-cache-dir: {file} is not a folder"]
    assert errors_of(run_tests("--model-cache-dir", "")) == [
        "--model-cache-dir: expected a folder, but the value is empty"
    ]


def test_the_users_variable_forces_every_test(
    run_tests: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(
        """
        import modelenv, pytest
        def test_unmarked():
            assert modelenv.detect_environment() == "local_cache"
        @pytest.mark.integration
        def test_integration():
            assert modelenv.detect_environment() == "local_cache"
        """
    )
    monkeypatch.setenv("MODEL_SOURCE", "local_cache")
    result = run_tests()
    result.assert_outcomes(passed=1, skipped=1)
    assert header_of(result) == "modelenv: MODEL_SOURCE forces local_cache; real models with --real-models"
    result = run_tests(*REAL)
    result.assert_outcomes(passed=2)
    assert header_of(result) == (
        "modelenv: real models from local_cache (variable MODEL_SOURCE), "
        f"cache {project.path}/model_cache (the local cache, default), "
        "all other tests: MODEL_SOURCE forces local_cache"
    )
    monkeypatch.setenv("MODEL_SOURCE", "nowhere")
    (error,) = errors_of(run_tests(*REAL))
    assert error.startswith("variable MODEL_SOURCE: 'nowhere' is not a source of real models; choose one of ")


@pytest.mark.parametrize(
    ("file", "text", "origin"),
    [
        (".env", "MODEL_SOURCE=local_cache\n", "MODEL_SOURCE in {}/.env"),
        ("pyproject.toml", '[tool.modelenv]\nsource = "local_cache"\n', "[tool.modelenv] in {}/pyproject.toml"),
    ],
)
def test_a_file_of_the_project_forces_every_test(
    run_tests: RunTests, project: pytest.Pytester, file: str, text: str, origin: str
) -> None:
    project.makepyfile("import modelenv\ndef test(): assert modelenv.detect_environment() == 'local_cache'\n")
    (project.path / file).write_text(text)
    result = run_tests()
    result.assert_outcomes(passed=1)
    told = origin.format(project.path)
    assert header_of(result) == f"modelenv: {told} forces local_cache; real models with --real-models"
    assert header_of(run_tests(*REAL)).startswith(f"modelenv: real models from local_cache ({told}), cache ")
    (project.path / file).write_text(text.replace("local_cache", "nowhere"))
    mistakes = [run_tests(*REAL), *([run_tests()] if file == "pyproject.toml" else [])]
    for result in mistakes:
        (error, *_) = errors_of(result)
        assert error.startswith("source: unknown model source (from ")
    (project.path / file).write_text("")
    assert header_of(run_tests("-p", "no:cacheprovider", "--co")) == "modelenv: fakes; real models with --real-models"


def test_the_option_has_precedence_over_a_variable_that_forces_fakes(
    run_tests: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(
        """
        import modelenv, pytest
        def test_unmarked():
            assert modelenv.detect_environment() == "mock_models"
        @pytest.mark.integration
        def test_integration():
            assert modelenv.detect_environment() == "huggingface_hub"
        """
    )
    monkeypatch.setenv("MODEL_SOURCE", "mock_models")
    result = run_tests(*NO_XDIST, *REAL, "--model-source", "huggingface_hub")
    result.assert_outcomes(passed=2)
    assert header_of(result) == (
        "modelenv: real models from huggingface_hub (--model-source), "
        "all other tests: MODEL_SOURCE forces mock_models"
    )
