"""Tests that get the locked models through unchanged code: the lock answers for the Hub while they run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from modelenv import force_environment
from modelenv.locks.project_lock import Lockfile, write_lockfile

from ..fetching.conftest import Lock, MakeModel, hub, lock, make_model
from .projects import REAL, errors_of, header_of, summary_of, without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from modelenv.hub import EmbeddedHub
    from modelenv.locks.values import LockedModel

    RunTests = Callable[..., pytest.RunResult]

__all__ = ["hub", "lock", "make_model"]

REPO = "acme/model"
LARGE = 20_000  # bytes of weights
SERVICE = """
from pathlib import Path
from huggingface_hub import hf_hub_download

def model_type(revision=None):
    return Path(hf_hub_download("acme/model", "config.json", revision=revision)).read_text()

def weights():
    return Path(hf_hub_download("acme/model", "model.safetensors")).read_bytes()
"""
PYPROJECT = f'[tool.modelenv.models]\nm = "{REPO}"\n'


@pytest.fixture
def folder(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    """The folder of the model on the Hub."""
    folder = make_model(weights=LARGE)
    hub.add(folder, REPO)
    return folder


@pytest.fixture
def locked(folder: Path, lock: Lock) -> LockedModel:
    """The locked model."""
    return lock()


@pytest.fixture
def project(project: pytest.Pytester, hub: EmbeddedHub, locked: LockedModel) -> Iterator[pytest.Pytester]:
    """A project with the lock, whose code knows nothing of modelenv, and an empty cache."""
    (project.path / "pyproject.toml").write_text(PYPROJECT)
    write_lockfile(project.path / "modelenv.lock", Lockfile((locked,)))
    project.makepyfile(service=SERVICE)
    hub.clear()
    with force_environment(variables={"HF_ENDPOINT": hub.endpoint, "MODEL_TIMEOUT": "200"}):
        yield project


def contents(hub: EmbeddedHub) -> list[str | None]:
    """The files whose content was requested, and every other request."""
    return sorted(str(each.file) if each.method == "GET" else f"{each.method} {each.file}" for each in hub.requests)


INTEGRATION = """
import pytest
from service import model_type, weights

pytestmark = pytest.mark.integration

@pytest.mark.parametrize("number", range(4))
def test_locked(number):
    assert "changed" not in model_type()
    assert len(weights()) > 20_000

def test_main():
    assert "changed" not in model_type("main")
"""


@without_and_n2
def test_an_integration_test_gets_the_locked_commit(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, folder: Path, mode: tuple[str, ...]
) -> None:
    project.makepyfile(INTEGRATION)
    run_program(*mode).assert_outcomes(skipped=5)
    assert contents(hub) == []
    result = run_program(*REAL, *mode)
    result.assert_outcomes(passed=5)
    assert contents(hub) == ["config.json", "model.safetensors"]
    [line] = summary_of(result)
    assert line.startswith(f"{REPO}: fetched")
    assert "; used through the Hub's client" in line
    result.stdout.no_fnmatch_line("*without a real model*")

    hub.clear()
    (folder / "config.json").write_text('{"model_type": "changed"}')  # main moves
    result = run_program(*REAL, *mode)
    result.assert_outcomes(passed=5)
    [line] = summary_of(result)
    assert line.startswith(f"{REPO}: cached, 0 requests to the Hub; used through the Hub's client")
    assert contents(hub) == []


NOT_LOCKED = """
import pytest
from huggingface_hub import HfApi, hf_hub_download
from service import model_type

@pytest.mark.integration
def test_other_model():
    assert hf_hub_download("acme/other", "config.json")

@pytest.mark.integration
@pytest.mark.model_access
def test_allowed():
    assert hf_hub_download("acme/other", "config.json")

@pytest.mark.integration
def test_locked():
    assert model_type()
"""


def test_what_is_not_locked_is_refused_if_the_guards_say_so(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, make_model: MakeModel
) -> None:
    hub.add(make_model("other"), "acme/other")
    project.makepyfile(NOT_LOCKED)
    result = run_program(*REAL)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*acme/other@main: not locked, and requests for what is not locked are refused here",
            "*expected: a model and revision in */modelenv.lock",
            "*what to do: declare the model in [[]tool.modelenv.models], then run `modelenv lock`; or allow it: "
            "@pytest.mark.model_access (this test), --model-guards=report (all tests)",
        ]
    )

    result = run_program(*REAL, "--model-guards=report")
    result.assert_outcomes(passed=3)
    # The file is already in the cache of the run before.
    result.stdout.fnmatch_lines(
        ["2 tests sent 2 requests to the Hub: *", "*::test_other_model: 1 request, * (acme/other)"]
    )


ENVIRONMENTS = """
import os
import modelenv
import pytest
from modelenv import UnexpectedModelAccessError
from service import model_type

at_import = modelenv.install()

@pytest.fixture(scope="session")
def of_session():
    return model_type()

def hub_cache():
    from huggingface_hub import constants
    assert os.environ.get("HF_HUB_CACHE", constants.HF_HUB_CACHE) == constants.HF_HUB_CACHE
    return constants.HF_HUB_CACHE

@pytest.mark.integration
def test_real(of_session, model_cache_dir):
    assert model_type() == of_session
    assert hub_cache() == str(model_cache_dir)

@pytest.mark.xfail(raises=UnexpectedModelAccessError, strict=True)
def test_fake(model_cache_dir):
    assert hub_cache() != str(model_cache_dir)
    assert not modelenv.install().is_active
    model_type()

@pytest.mark.integration
def test_installed_by_the_project(model_cache_dir):
    with modelenv.install() as installation:
        assert installation.is_active
        assert modelenv.install() is installation
        model_type()
        assert installation.answered
    assert hub_cache() == str(model_cache_dir)
    assert model_type()
    modelenv.install(refuse=True)  # ends with the test

@pytest.mark.integration
def test_installed_again(model_cache_dir):
    assert modelenv.install(refuse=False).cache == model_cache_dir

@pytest.mark.integration
@pytest.mark.xfail(raises=UnexpectedModelAccessError, strict=True)
def test_fakes_after_all(mock_models, model_cache_dir):
    assert hub_cache() != str(model_cache_dir)
    model_type()

@pytest.mark.integration
def test_other_environment(model_env, model_cache_dir, tmp_path):
    model_env("local_cache", cache_dir=tmp_path)
    assert hub_cache() != str(model_cache_dir)
    assert modelenv.install().cache == tmp_path

@pytest.mark.model_source("huggingface_hub")
def test_own_cache(model_cache_dir):
    assert hub_cache() != str(model_cache_dir)
    assert model_type()

def test_by_fixture(real_models, model_cache_dir):
    assert hub_cache() == str(model_cache_dir)
    assert model_type()
"""


def test_each_environment_has_its_own_installation(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub
) -> None:
    project.makepyfile(ENVIRONMENTS)
    result = run_program(*REAL, "-p", "no:randomly")
    result.assert_outcomes(passed=6, xfailed=2)
    assert contents(hub) == ["config.json", "config.json"]  # one for each cache
    result.stdout.fnmatch_lines(
        [
            "2 integration tests passed without a real model of modelenv: *::test_installed_again, "
            "*::test_other_environment"
        ]
    )


DAMAGED = """
import pytest
from service import model_type, weights

@pytest.mark.integration
def test_locked():
    assert model_type() and weights()
"""


@pytest.mark.slow
@pytest.mark.parametrize("importing", ["", "import huggingface_hub.file_download"])
def test_a_flipped_byte_is_found(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, importing: str
) -> None:
    project.makepyfile(DAMAGED)
    project.makeconftest(importing)
    cache = project.path / "cache"
    options = (*REAL, f"--model-cache-dir={cache}")
    run_program(*options).assert_outcomes(passed=1)
    [blob] = [each.resolve() for each in cache.rglob("model.safetensors")]
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    hub.clear()
    run_program(*options).assert_outcomes(passed=1)
    assert contents(hub) == ["model.safetensors"]
    blob.write_bytes(content)
    hub.stop()
    result = run_program(*options)
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.slow
def test_a_lock_that_cannot_be_read_is_an_error_of_the_test(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub
) -> None:
    (project.path / "modelenv.lock").write_text("[nothing")
    project.makepyfile(DAMAGED, test_fast="def test_fast(): pass")
    result = run_program(*REAL)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*modelenv.lock*"])
    assert contents(hub) == []


SUITE_INI = """[pytest]
addopts = -p pytest_modelenv.plugin --strict-markers --strict-config -ra
filterwarnings = error
model_source = download_on_demand
"""
SUITE_CONFTEST = """
import os
import sys
from service import model_type
assert "changed" not in model_type()

def pytest_configure(config):
    assert os.environ["MODEL_SOURCE"] == "download_on_demand" or config.getoption("tx", None)
"""
SUITE = """
import pytest
from modelenv import ModelSource, UnexpectedModelAccessError, detect_environment
from service import model_type, weights

TYPE = model_type()

@pytest.mark.parametrize("number", range(4))
def test_no_marker(number):
    assert model_type() == TYPE
    assert len(weights()) > 20_000
    assert detect_environment() is ModelSource.DOWNLOAD_ON_DEMAND

@pytest.mark.integration
def test_integration():
    assert model_type("main") == TYPE

@pytest.mark.xfail(raises=UnexpectedModelAccessError, strict=True)
@pytest.mark.model_source("mock_models")
def test_fake():
    assert detect_environment() is ModelSource.MOCK_MODELS
    model_type()

def test_arithmetic():
    pass
"""


@without_and_n2
def test_a_whole_suite_gets_the_locked_models(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, folder: Path, mode: tuple[str, ...]
) -> None:
    project.makeini(SUITE_INI)
    project.makeconftest(SUITE_CONFTEST)
    project.makepyfile(SUITE)
    result = run_program(*mode)
    result.assert_outcomes(passed=6, xfailed=1)
    assert contents(hub) == ["config.json", "model.safetensors"]
    cache = project.path / ".pytest_cache" / "d" / "modelenv"
    assert header_of(result) == (
        "modelenv: real models in all tests from download_on_demand (ini-option model_source), "
        f"cache {cache} (pytest's cache folder)"
    )
    assert (project.path / ".pytest_cache" / ".gitignore").is_file()

    hub.clear()
    (folder / "config.json").write_text('{"model_type": "changed"}')  # main moves
    hub.stop()
    result = run_program(*mode)
    result.assert_outcomes(passed=6, xfailed=1)
    [line] = summary_of(result)
    assert line.startswith(f"{REPO}: cached, 0 requests to the Hub; used through the Hub's client")
    result.stdout.no_fnmatch_line("*without a real model*")
    assert contents(hub) == []


COLLECTED = """
import pytest
from huggingface_hub import hf_hub_download
from service import model_type

TYPE = model_type()
OTHER = hf_hub_download("acme/other", "config.json")

def hub_cache():
    from huggingface_hub import constants
    return constants.HF_HUB_CACHE

@pytest.mark.integration
def test_real():
    assert model_type() == TYPE

def test_fake(model_cache_dir):
    assert TYPE
    assert hub_cache() != str(model_cache_dir)
"""


@pytest.mark.slow
@without_and_n2
def test_the_lock_answers_while_test_files_are_collected(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, make_model: MakeModel, mode: tuple[str, ...]
) -> None:
    hub.add(make_model("other"), "acme/other")
    project.makeconftest("from service import model_type\nmodel_type()")
    project.makepyfile(COLLECTED)
    run_program(*REAL, *mode).assert_outcomes(passed=2)
    hub.clear()
    run_program(*REAL, *mode).assert_outcomes(passed=2)
    assert {each.repo_id for each in hub.requests} == {"acme/other"}


@pytest.mark.parametrize(
    ("environ", "options", "source", "origin"),
    [
        ("", (), "download_on_demand", "ini-option model_source"),
        ("local_cache", (), "local_cache", "variable MODEL_SOURCE"),
        ("local_cache", ("--model-source=huggingface_hub",), "huggingface_hub", "--model-source"),
    ],
)
def test_what_overrides_the_ini_option(
    run_program: RunTests,
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    environ: str,
    options: tuple[str, ...],
    source: str,
    origin: str,
) -> None:
    monkeypatch.setenv("MODEL_SOURCE", environ)
    project.makeini(SUITE_INI)
    project.makepyfile(f"import modelenv\ndef test_it(): assert modelenv.detect_environment() == {source!r}")
    result = run_program(*options)
    result.assert_outcomes(passed=1)
    assert header_of(result).startswith(f"modelenv: real models in all tests from {source} ({origin})")


def test_a_suite_can_be_run_with_fakes(
    run_program: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SOURCE", "mock_models")
    project.makeini(SUITE_INI)
    project.makepyfile(
        "import modelenv, pytest\ndef test_it(): assert modelenv.detect_environment() == 'mock_models'\n"
        "@pytest.mark.integration\ndef test_real(): pass"
    )
    run_program().assert_outcomes(passed=1, skipped=1)


def test_an_unknown_source_is_a_usage_error(run_program: RunTests, project: pytest.Pytester) -> None:
    project.makeini(SUITE_INI.replace("download_on_demand", "the_database"))
    assert errors_of(run_program()) == [
        "ini-option model_source: 'the_database' is not a source of models; choose one of persistent_volume, "
        "mock_models, download_on_demand, local_cache, huggingface_hub"
    ]


def test_a_lock_that_cannot_be_read_is_an_error_of_a_suite(run_program: RunTests, project: pytest.Pytester) -> None:
    project.makeini(SUITE_INI)
    (project.path / "modelenv.lock").write_text("[nothing")
    [error] = errors_of(run_program())
    assert "modelenv.lock" in error


LEAVING = """
import sys
import modelenv

def test_first(model_env, tmp_path):
    model_env("local_cache", cache_dir=tmp_path)
    assert "modelenv.interception.install" not in sys.modules
    assert modelenv.install().is_active

def test_second(model_env, tmp_path):
    assert not modelenv.install().is_active
    model_env("local_cache", cache_dir=tmp_path)
    assert modelenv.install().cache == tmp_path
"""


def test_what_a_test_installs_ends_with_it(run_program: RunTests, project: pytest.Pytester) -> None:
    project.makepyfile(LEAVING)
    run_program("-p", "no:randomly").assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_volume(
    run_program: RunTests, project: pytest.Pytester, hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files come from the volume, offline, and what is not on it is refused in every mode of the guards."""
    volume = project.path / "volume"
    project.run(sys.executable, "-m", "modelenv", "pull", "--to", str(volume), timeout=100)
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(volume))
    hub.clear()
    hub.stop()
    project.makepyfile(INTEGRATION, test_other=NOT_LOCKED)
    result = run_program(*REAL, "--model-source=persistent_volume", "--model-guards=report")
    result.assert_outcomes(passed=6, failed=2)
    assert hub.requests == ()


@without_and_n2
def test_the_lock_does_not_answer_for_the_projects_own_option(
    run_program: RunTests, project: pytest.Pytester, folder: Path, mode: tuple[str, ...]
) -> None:
    """The lock answers for `--real-models` until a conftest.py turns out to have an option of this name."""
    (folder / "config.json").write_text('{"model_type": "changed"}')  # main moves
    project.makeconftest("def pytest_addoption(parser): parser.addoption('--real-models', action='store_true')\n")
    project.makepyfile(
        """
        import pytest
        from service import model_type

        AT_COLLECTION = model_type()

        def test_own_option(pytestconfig):
            assert pytestconfig.getoption("--real-models")
            assert "changed" in AT_COLLECTION

        @pytest.mark.integration
        def test_integration():
            pass
        """
    )
    result = run_program(*mode, "--real-models", "--model-guards=report")
    result.assert_outcomes(passed=1, skipped=1)
    assert header_of(result) == "modelenv: fakes; real models with --real-models"
