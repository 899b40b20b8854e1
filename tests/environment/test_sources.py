"""Which source applies: each probe, their order, and the explanation."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelenv.environment.detection import (
    Finding,
    detect_environment,
    explain_environment,
    is_true,
    probe_forced,
    probe_github_actions,
    probe_local_cache,
    probe_test_run,
    probe_volume,
)
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError

# Root ignores permissions, so run as another user if the tests run as root.
AS_NOBODY = "import os\nif os.getuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(folder)


def add_model(root: Path) -> Path:
    folder = root / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def add_volume(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "model-metadata.yaml").touch()
    return root


def settings(folder: Path, **variables: str) -> Settings:
    environ = {"MODEL_VOLUME_DIR": str(folder / "volume"), "MODEL_CACHE_DIR": str(folder / "cache"), **variables}
    return Settings.load(project_dir=folder, environ=environ)


def test_the_sources_their_values_and_timeouts() -> None:
    assert {source.value: source.timeout for source in ModelSource} == {
        "persistent_volume": 30.0,
        "mock_models": 1.0,
        "download_on_demand": 300.0,
        "local_cache": 60.0,
        "huggingface_hub": 300.0,
    }
    assert [source.value for source in ModelSource if not source.downloads] == ["persistent_volume", "mock_models"]


@pytest.mark.parametrize("value", [ModelSource.LOCAL_CACHE, "local_cache", " Local_Cache\n"])
def test_a_source_is_named_by_itself_or_its_value(value: ModelSource | str) -> None:
    assert ModelSource.parse(value) is ModelSource.LOCAL_CACHE


@pytest.mark.parametrize("value", ["cloud", "", None, 3, "LOCAL-CACHE"])
def test_an_unknown_source_is_an_error_that_lists_the_valid_ones(value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ModelSource.parse(value)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "unknown model source\n"
        "  expected: one of persistent_volume, mock_models, download_on_demand, local_cache, huggingface_hub\n"
        f"  found: {value!r}\n"
        "  what to do: correct MODEL_SOURCE, or the option or argument that names the source"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("ON", True), (" true ", True), ("Yes", True), ("0", False), ("false", False), ("", False),
     ("2", False), (None, False)],
)  # fmt: skip
def test_values_that_mean_true(text: str | None, expected: bool) -> None:
    assert is_true(text) is expected


def test_the_probe_for_a_forced_source() -> None:
    assert probe_forced(None, "default") == Finding("a forced source", None, "not set")
    assert probe_forced(ModelSource.LOCAL_CACHE, "argument") == Finding(
        "a forced source", ModelSource.LOCAL_CACHE, "local_cache, from argument"
    )


def test_the_probe_for_a_volume(tmp_path: Path) -> None:
    metadata = tmp_path / "model-metadata.yaml"
    for folder in (tmp_path, tmp_path / "missing"):
        assert probe_volume(folder) == Finding("a persistent volume", None, f"no {folder / metadata.name}")
    add_volume(tmp_path)
    assert probe_volume(tmp_path) == Finding(
        "a persistent volume", ModelSource.PERSISTENT_VOLUME, f"{metadata} exists"
    )
    assert probe_volume(metadata).answer is None  # a file instead of a folder


def test_a_volume_that_fails_is_still_a_volume(tmp_path: Path) -> None:
    (tmp_path / "volume").symlink_to("volume")
    finding = probe_volume(tmp_path / "volume")
    assert finding.answer is ModelSource.PERSISTENT_VOLUME
    assert finding.detail == (f"{tmp_path}/volume/model-metadata.yaml cannot be read: {os.strerror(errno.ELOOP)}")


def test_a_volume_that_may_not_be_read_is_still_a_volume(open_folder: Path) -> None:
    volume = add_volume(open_folder / "volume")
    cache = open_folder / "cache"
    add_model(cache)
    volume.chmod(0o000)
    (cache / "org").chmod(0o000)
    code = (
        "import sys; from pathlib import Path\n"
        "from modelenv.environment.detection import probe_volume, probe_local_cache\n"
        f"{AS_NOBODY}"
        "print(probe_volume(Path(sys.argv[1])).answer, probe_volume(Path(sys.argv[1])).detail)\n"
        "print(probe_local_cache(Path(sys.argv[2])).detail)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(volume), str(cache)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.splitlines() == [
        f"persistent_volume {volume}/model-metadata.yaml cannot be read: Permission denied",
        f"no model in {cache}",
    ], done.stderr


@pytest.mark.parametrize(
    ("variables", "detail"),
    [
        ({"PYTEST_CURRENT_TEST": "a.py::test"}, "PYTEST_CURRENT_TEST is set"),
        ({"PYTEST_VERSION": "9.2"}, "PYTEST_VERSION is set"),
        ({"PYTEST_VERSION": "9", "PYTEST_CURRENT_TEST": "x"}, "PYTEST_CURRENT_TEST is set"),
        ({"TESTING": "true"}, "TESTING=true"),
        ({"TESTING": "1"}, "TESTING=1"),
    ],
)
def test_the_probe_for_a_running_test(variables: Mapping[str, str], detail: str) -> None:
    assert probe_test_run(variables) == Finding("a running test", ModelSource.MOCK_MODELS, detail)


@pytest.mark.parametrize("variables", [{}, {"TESTING": "false"}, {"PYTEST_VERSION": ""}, {"GITHUB_ACTIONS": "true"}])
def test_no_running_test(variables: Mapping[str, str]) -> None:
    assert probe_test_run(variables) == Finding(
        "a running test", None, "neither PYTEST_CURRENT_TEST nor PYTEST_VERSION nor TESTING=true"
    )


@pytest.mark.parametrize(
    ("variables", "answer", "detail"),
    [
        ({"GITHUB_ACTIONS": "true"}, ModelSource.DOWNLOAD_ON_DEMAND, "GITHUB_ACTIONS=true"),
        ({"GITHUB_ACTIONS": "false"}, None, "GITHUB_ACTIONS=false"),
        ({}, None, "GITHUB_ACTIONS is not set"),
    ],
)
def test_the_probe_for_github_actions(variables: Mapping[str, str], answer: ModelSource | None, detail: str) -> None:
    assert probe_github_actions(variables) == Finding("GitHub Actions", answer, detail)


def test_the_probe_for_a_local_cache(tmp_path: Path) -> None:
    assert probe_local_cache(tmp_path) == Finding("a local cache", None, f"no model in {tmp_path}")
    folder = add_model(tmp_path)
    assert probe_local_cache(tmp_path) == Finding("a local cache", ModelSource.LOCAL_CACHE, f"{folder} holds a model")


def test_the_first_probe_that_applies_wins(tmp_path: Path) -> None:
    add_volume(tmp_path / "volume")
    add_model(tmp_path / "cache")
    variables = {"MODEL_SOURCE": "huggingface_hub", "PYTEST_VERSION": "9", "GITHUB_ACTIONS": "true"}
    seen = []
    for rule in range(6):
        if rule == 1:
            del variables["MODEL_SOURCE"]
        elif rule == 2:
            shutil.rmtree(tmp_path / "volume")
        elif rule == 3:
            del variables["PYTEST_VERSION"]
        elif rule == 4:
            del variables["GITHUB_ACTIONS"]
        elif rule == 5:
            shutil.rmtree(tmp_path / "cache")
        seen.append(explain_environment(settings=settings(tmp_path, **variables)))
    assert [explanation.source.value for explanation in seen] == [
        "huggingface_hub",
        "persistent_volume",
        "mock_models",
        "download_on_demand",
        "local_cache",
        "huggingface_hub",
    ]
    assert [explanation.reason for explanation in seen] == [
        "a forced source: huggingface_hub, from variable MODEL_SOURCE",
        f"a persistent volume: {tmp_path}/volume/model-metadata.yaml exists",
        "a running test: PYTEST_VERSION is set",
        "GitHub Actions: GITHUB_ACTIONS=true",
        f"a local cache: {tmp_path}/cache/org/name holds a model",
        "the fallback: used if nothing else applies",
    ]


def test_findings_include_the_probes_after_the_first_that_applies(tmp_path: Path) -> None:
    add_volume(tmp_path / "volume")
    explanation = explain_environment(settings=settings(tmp_path, TESTING="1", GITHUB_ACTIONS="true"))
    assert [(found.probe, found.answer) for found in explanation.findings] == [
        ("a forced source", None),
        ("a persistent volume", ModelSource.PERSISTENT_VOLUME),
        ("a running test", ModelSource.MOCK_MODELS),
        ("GitHub Actions", ModelSource.DOWNLOAD_ON_DEMAND),
        ("a local cache", None),
        ("the fallback", ModelSource.HUGGINGFACE_HUB),
    ]


def test_the_remaining_probes_run_on_demand(tmp_path: Path) -> None:
    explanation = explain_environment("mock_models", settings=settings(tmp_path))
    add_volume(tmp_path / "volume")
    assert explanation.findings[1].answer is ModelSource.PERSISTENT_VOLUME
    assert explanation.findings is explanation.findings
    fallback = explain_environment(settings=settings(tmp_path / "nothing"))
    add_volume(tmp_path / "nothing" / "volume")
    assert (fallback.source, fallback.findings[1].answer) == (ModelSource.HUGGINGFACE_HUB, None)


def test_an_argument_overrides_the_variable(tmp_path: Path) -> None:
    given = settings(tmp_path, MODEL_SOURCE="local_cache")
    explanation = explain_environment("mock_models", settings=given)
    assert explanation.reason == "a forced source: mock_models, from argument"
    assert detect_environment(ModelSource.DOWNLOAD_ON_DEMAND, settings=given) is ModelSource.DOWNLOAD_ON_DEMAND
    assert detect_environment(settings=given) is ModelSource.LOCAL_CACHE
    with pytest.raises(ConfigurationError, match="unknown model source"):
        detect_environment("cloud", settings=given)


def test_without_settings_those_of_the_process_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_SOURCE", raising=False)
    monkeypatch.setenv("MODEL_VOLUME_DIR", "volume")
    assert detect_environment() is ModelSource.MOCK_MODELS  # this is a test
    monkeypatch.setenv("MODEL_SOURCE", "cloud")
    assert detect_environment("local_cache") is ModelSource.LOCAL_CACHE  # the overridden setting is not validated
    with pytest.raises(ConfigurationError, match="from variable MODEL_SOURCE"):
        detect_environment()
