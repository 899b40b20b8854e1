"""`@pytest.mark.model("org/name")` without a task: it comes from the lock or, for a real model, from the Hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelenv import ModelEnvError, SmartModelManager, force_environment
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.locks.values import LockedFile, LockedModel
from pytest_modelenv.hub_tasks import HubTasks
from pytest_modelenv.markers import model

from .projects import all_modes

RunTests = Callable[..., pytest.RunResult]

NOBODY_LISTENS = "http://127.0.0.1:9"
FILES = (LockedFile("config.json", 1, "0" * 64, "0" * 40),)


def locked(alias: str, task: str | None) -> LockedModel:
    return LockedModel(alias, f"acme/{alias}", None, "1" * 40, task, FILES)


@all_modes
def test_a_fake_has_the_task_of_the_lock(
    run_tests: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    declared = "mood = { repo = 'acme/mood', task = 'sentiment' }\nplain = 'acme/plain'\n"
    (project.path / "pyproject.toml").write_text(f"[tool.modelenv.models]\n{declared}")
    write_lockfile(project.path / "modelenv.lock", Lockfile((locked("mood", "sentiment"), locked("plain", None))))
    project.makepyfile(
        """
        import pytest

        @pytest.mark.model("acme/mood")
        def test_repo(model):
            assert len(model(["good"])[0]) == 3, "of the task sentiment"

        @pytest.mark.model("mood")
        def test_alias(model):
            assert len(model(["good"])[0]) == 3

        @pytest.mark.model("acme/mood", top_k=1)
        def test_arguments(model):
            assert len(model(["good"])[0]) == 1

        @pytest.mark.model("acme/mood", "fill-mask")
        def test_the_markers_own(model):
            assert "token_str" in model("a [MASK]")[0]

        @pytest.mark.model("acme/plain")
        def test_none(model): pass

        @pytest.mark.model("acme/unknown")
        def test_unknown(model): pass
        """
    )
    result = run_tests(*mode)
    result.assert_outcomes(passed=4, errors=2)
    for name in ("plain", "unknown"):
        result.stdout.fnmatch_lines(
            [
                f"E *acme/{name}: no task was given for the model",
                "E * what to do: pass the task, such as task='text-classification' in a marker, or load_model(*",
            ]
        )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedHub]:
    """A Hub with models, and a project that declares none."""
    monkeypatch.chdir(tmp_path)
    with EmbeddedHub() as running:
        for name, tag in (("mood", "text-classification"), ("mute", None), ("similar", "sentence-similarity")):
            folder = tmp_path / "repos" / name
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
            (folder / "README.md").write_text("" if tag is None else f"---\npipeline_tag: {tag}\n---\n")
            running.add(folder, f"acme/{name}")
        yield running


def tasks(tasks: HubTasks, name: str, endpoint: str, source: str = "download_on_demand", **kwargs: str) -> str | None:
    """Return the task of a marker with this model, in a test with this source."""
    variables = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": None, "MODEL_TIMEOUT": "20"}
    with force_environment(source, variables=variables):
        return tasks.task_of(model(name, **kwargs), SmartModelManager())


def test_the_task_is_requested_once(hub: EmbeddedHub) -> None:
    known = HubTasks()
    for _ in range(3):
        assert tasks(known, "acme/mood", hub.endpoint) == "text-classification"
        assert tasks(known, "acme/mood", hub.endpoint, "local_cache") == "text-classification"
    assert [request.kind for request in hub.requests if request.kind == "info"] == ["info"]
    assert tasks(known, "acme/mood", hub.endpoint, revision="main") == "text-classification"


@pytest.mark.parametrize("source", ["mock_models", "persistent_volume"])
def test_sources_that_do_not_download_send_no_request(hub: EmbeddedHub, source: str) -> None:
    assert tasks(HubTasks(), "acme/mood", hub.endpoint, source) is None
    hub.assert_no_requests()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("acme/mute", "acme/mute: the Hub names no task for this model"),
        ("acme/similar", "unknown task 'sentence-similarity'"),
        ("acme/missing", "acme/missing: the Hub has no model with this name, or the model is private"),
    ],
)
def test_without_a_task_from_the_hub_the_error_says_to_name_it(hub: EmbeddedHub, name: str, says: str) -> None:
    known = HubTasks()
    for _ in range(2):
        with pytest.raises(ModelEnvError) as caught:
            tasks(known, name, hub.endpoint)
        assert str(caught.value).startswith(says)
        assert caught.value.__notes__ == [
            "The marker names no task, so it was requested from the Hub. Name it: @pytest.mark.model(name, task=...)"
        ]
    assert len([request for request in hub.requests if request.kind == "info"]) == 1


REAL = """
import pytest

@pytest.mark.integration
@pytest.mark.model("acme/crypto")
@pytest.mark.parametrize("number", [1, 2])
def test_real(model, number):
    assert model("bitcoin price surge")[0]["label"] == "POSITIVE"
"""


@pytest.mark.integration
@pytest.mark.parametrize("host", ["off", "run"])
def test_a_real_model_has_the_task_of_the_hub(
    run_program: RunTests, project: pytest.Pytester, classifier: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    project.makepyfile(REAL)
    with EmbeddedHub() as hub:
        hub.add(classifier, "acme/crypto")
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("MODEL_TIMEOUT", "200")
        run_program("--real-models", f"--model-host={host}").assert_outcomes(passed=2)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = run_program("--real-models", f"--model-host={host}")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["E *offline mode is on*", "E *The marker names no task, so it was requested from the Hub.*"]
    )
