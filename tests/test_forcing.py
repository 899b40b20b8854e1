"""An environment is forced and restored, also nested and after errors."""

from __future__ import annotations

import os

import pytest

from modelenv import ConfigurationError, ModelSource, detect_environment, force_environment
from modelenv.forcing import current_forcing
from modelenv.loading.shared import Run


@pytest.mark.parametrize("before", [None, "1", "0"])
def test_a_source_that_downloads_nested_in_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if before is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", before)
    with force_environment("mock_models"):
        with force_environment("persistent_volume"):
            assert os.environ["HF_HUB_OFFLINE"] == "1"
            with force_environment("download_on_demand"):
                assert os.environ.get("HF_HUB_OFFLINE") == before
                with force_environment("mock_models"):
                    assert os.environ["HF_HUB_OFFLINE"] == "1"
            assert os.environ["HF_HUB_OFFLINE"] == "1"
        with force_environment("huggingface_hub"):
            assert os.environ.get("HF_HUB_OFFLINE") == before
    assert os.environ.get("HF_HUB_OFFLINE") == before


def test_a_source_that_downloads_keeps_an_explicit_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with (
        force_environment("mock_models", variables={"HF_HUB_OFFLINE": "yes"}),
        force_environment("download_on_demand"),
    ):
        assert os.environ["HF_HUB_OFFLINE"] == "yes"


def test_a_variable_that_is_not_text_changes_nothing() -> None:
    before = dict(os.environ)
    wrong: dict[str, str | None] = {"MODELENV_TEST_A": "a", "MODELENV_TEST_B": 2}  # type: ignore[dict-item]
    with pytest.raises(TypeError), force_environment("mock_models", variables=wrong):
        pass
    assert dict(os.environ) == before
    assert current_forcing().run is None


def test_an_unknown_source_changes_nothing() -> None:
    before = dict(os.environ)
    with pytest.raises(ConfigurationError, match="unknown model source"), force_environment("nowhere"):
        pass
    assert dict(os.environ) == before


def test_nested_blocks_inherit_the_run_and_set_whether_models_are_real() -> None:
    run = Run()
    with force_environment("local_cache", run=run) as outer:
        assert (outer.run, outer.real_models) == (run, True)
        with force_environment(variables={"MODEL_TIMEOUT": "2"}) as inner:
            assert (inner.run, inner.real_models) == (run, True)
        with force_environment("mock_models") as fakes:
            assert (fakes.run, fakes.real_models) == (run, False)
            assert detect_environment() is ModelSource.MOCK_MODELS
        assert current_forcing() is outer


@pytest.mark.parametrize("before", [None, "1"])
def test_fakes_can_leave_offline_mode_unchanged(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if before is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", before)
    with force_environment("mock_models", offline=False):
        assert os.environ.get("HF_HUB_OFFLINE") == before
    with force_environment("local_cache"), force_environment("mock_models", offline=False):
        assert os.environ.get("HF_HUB_OFFLINE") == before
    assert os.environ.get("HF_HUB_OFFLINE") == before
