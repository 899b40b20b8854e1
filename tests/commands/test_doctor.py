"""The checks of `modelenv doctor` are independent: a check that fails is a finding, and the others still run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.commands.doctor import doctor
from modelenv.environment.libraries import environment
from modelenv.environment.settings import Settings
from modelenv.errors import ConfigurationError
from modelenv.hub import EmbeddedHub

from .conftest import Project


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, tuple[str, str, str | None]]]:
    """A function that runs `doctor` in this process, in an empty folder, and returns the problems it finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(tmp_path / "volume"))
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MODEL_SOURCE", raising=False)

    def run(**arguments: object) -> dict[str, tuple[str, str, str | None]]:
        outcome = doctor(lambda: Settings.load(**arguments))  # type: ignore[arg-type]
        wrong = [each for each in outcome.data["examined"] if each["state"] == "wrong"]
        assert outcome.code == (1 if wrong else 0)
        assert "Python" in {each["what"] for each in outcome.data["examined"]}
        assert [line for line in outcome.lines if line.startswith("to fix ")] == [
            f"to fix {each['what']}: {each['mend']}" for each in wrong
        ]
        return {each["what"]: (each["state"], each["found"], each["mend"]) for each in wrong}

    return run


Found = Callable[..., dict[str, tuple[str, str, str | None]]]


def test_settings_that_cannot_be_read(found: Found, tmp_path: Path) -> None:
    assert found(timeout="soon") == {
        "the settings": (
            "wrong",
            "timeout: a timeout must be a positive number of seconds (from argument): 'soon'",
            "correct it, and run `modelenv doctor` again",
        )
    }
    (tmp_path / "pyproject.toml").write_text("[tool.modelenv\n")
    [(state, said, _)] = found().values()
    assert (state, str(tmp_path / "pyproject.toml") in said) == ("wrong", True)
    assert list(found(env_file=tmp_path / "missing")) == ["the settings"]


def test_an_unusable_proxy(found: Found) -> None:
    from huggingface_hub.utils import close_session

    close_session()
    with environment({"ALL_PROXY": "odd://user:sesame@proxy"}):
        [(what, (_, said, mend))] = found().items()
    close_session()
    assert what == "the Hub's client"
    assert said.startswith("ALL_PROXY is not a valid proxy address: ALL_PROXY=odd://***@proxy")
    assert mend == "correct or unset ALL_PROXY"


def test_a_failed_check_is_a_finding_and_the_others_run(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.modelenv.models]\nm = "acme/m"\n')
    (tmp_path / "modelenv.lock").mkdir()  # a folder, not a readable file
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "model-metadata.yaml").mkdir()
    wrong = found()
    assert {"modelenv.lock", "the volume"} <= set(wrong)
    monkeypatch.setenv("MODEL_VOLUME_DIR", "v" * 300)  # too long a name for the system
    wrong = found()
    assert "modelenv.lock" in wrong
    said, mend = wrong["the volume"][1:]
    assert said.startswith("this check failed: OSError: [Errno 36] File name too long")
    assert mend == "fix the cause of this error, and run `modelenv doctor` again"


def test_a_finding_shows_no_secret() -> None:
    def fail() -> Settings:
        raise ConfigurationError("this is wrong", found="https://user:sesame@hub.example")

    outcome = doctor(fail)
    assert "the settings" in "\n".join(outcome.lines)
    assert "sesame" not in "\n".join(outcome.lines)


@pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="this Python can use SOCKS proxies")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "a SOCKS proxy needs the package socksio"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "10s", "HF_HUB_DOWNLOAD_TIMEOUT is not a positive whole number of seconds"),
    ],
)
def test_all_commands_report_a_variable_alike(project: Project, name: str, value: str, said: str) -> None:
    for verb in (("lock",), ("pull",)):
        text = project.run(*verb, code=1, **{name: value})
        assert f"{said}" in text, verb
        assert f"{name}={value}" in text
    lines = project.lines("doctor", code=1, **{name: value})
    assert next(line for line in lines if line.startswith("wrong")).startswith("wrong  the Hub's client  " + said)
    assert lines[-1] == "found 1 problem"
    project.hub.assert_no_requests()


def test_the_endpoint_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    with EmbeddedHub() as hub, environment({"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}):
        outcome = doctor(Settings.load)
    assert [each["found"] for each in outcome.data["examined"] if each["what"] == "the Hub's client"] == [
        hub.endpoint
    ]
