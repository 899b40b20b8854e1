"""The lines of the summary. test_real_models.py has whole runs with real models."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from modelenv import LoadReport
from modelenv.loading.reports import Notice
from pytest_modelenv.report import summary_lines

from .projects import without_and_n2

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]


def load(worker: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return worker, asdict(LoadReport("acme/crypto", "text-classification", "download_on_demand", **fields))


def notice(worker: str, model: str, text: str) -> tuple[str, dict[str, Any]]:
    return worker, asdict(Notice(model, text))


FETCHED = {"fetched": True, "files": 5, "bytes": 123456, "requests": 12, "fetch_seconds": 0.42}


def test_no_loads_give_no_lines() -> None:
    assert summary_lines([]) == []


def test_one_process() -> None:
    assert summary_lines([load("", **FETCHED, load_seconds=3.14)]) == [
        "acme/crypto: fetched (5 files, 123,456 bytes, 12 requests to the Hub, 0.4 s); loaded in 3.1 s"
    ]
    assert summary_lines([load("", load_seconds=3.14), load("", load_seconds=0.1)]) == [
        "acme/crypto: cached, 0 requests to the Hub; loaded in 3.1 s"
    ]


def test_several_workers() -> None:
    loads = [load("gw2", load_seconds=4), load("gw0", **FETCHED, load_seconds=3), load("gw2", load_seconds=0.1)]
    assert summary_lines(loads) == [
        "acme/crypto: fetched by gw0 (5 files, 123,456 bytes, 12 requests to the Hub, 0.4 s); "
        "loaded by 2 workers (gw0, gw2) in at most 4.0 s"
    ]
    assert summary_lines([load("gw1", load_seconds=4)]) == [
        "acme/crypto: cached, 0 requests to the Hub; loaded by 1 worker (gw1) in at most 4.0 s"
    ]


def test_a_model_host() -> None:
    loads = [load("gw0", hosted=True, load_seconds=2), load("gw1", hosted=True, load_seconds=0.1)]
    assert summary_lines(loads) == [
        "acme/crypto: cached, 0 requests to the Hub; held by the model host, loaded in 2.0 s"
    ]
    loads += [load("the model host", **FETCHED, hosted=True, load_seconds=3)]
    assert summary_lines(loads) == [
        "acme/crypto: fetched by the model host (5 files, 123,456 bytes, 12 requests to the Hub, 0.4 s); "
        "held by the model host, loaded in 3.0 s",
    ]


def test_notices_follow_the_loads_and_are_shown_once() -> None:
    loads = [load("gw0", hosted=True)]
    notices = [
        *(notice(worker, "acme/crypto", "also loaded in the process of the test: x") for worker in ("gw0", "gw1")),
        notice("the model host", "acme/voice", "5 answers of earlier calls reused"),
    ]
    assert summary_lines(loads, notices) == [
        "acme/crypto: cached, 0 requests to the Hub; held by the model host, loaded in 0.0 s",
        "acme/crypto: also loaded in the process of the test: x",
        "acme/voice: 5 answers of earlier calls reused",
    ]


def test_a_failure_is_shown_once() -> None:
    loads = [load(worker, error="the Hub has no model with this name") for worker in ("gw0", "gw1", "gw2")]
    assert summary_lines(loads) == ["acme/crypto: failed: the Hub has no model with this name"]
    assert summary_lines([*loads, load("gw3", load_seconds=1)]) == [
        "acme/crypto: cached, 0 requests to the Hub; loaded by 1 worker (gw3) in at most 1.0 s",
        "acme/crypto: failed: the Hub has no model with this name",
    ]


# A worker that passes none of the plugin's facts to the controller at its end.
LOST_CONFTEST = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput.pop("modelenv_loads", None)
"""
VOLUME = """
import pytest

@pytest.mark.integration
@pytest.mark.model("acme/missing", "sentiment")
@pytest.mark.parametrize("number", range(4))
def test_missing(model, number):
    pass
"""


@without_and_n2
@pytest.mark.slow
def test_failed_loads_reach_the_summary_on_the_test_reports(
    run_program: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MODEL_VOLUME_DIR", str(project.mkdir("volume")))
    project.makeconftest(LOST_CONFTEST)
    project.makepyfile(VOLUME)
    result = run_program(*mode, "--real-models", "--model-host=off", "--model-source", "persistent_volume")
    result.assert_outcomes(errors=4)
    lines = [line for line in result.outlines if line.startswith("acme/missing: ")]
    assert lines == ["acme/missing: failed: not in this store"]
    result.stdout.fnmatch_lines(["*= real models =*", "acme/missing: failed: *"])


def use(worker: str, requests: int = 0) -> tuple[str, dict[str, Any]]:
    amounts = {"files": requests, "bytes": 100 * requests, "requests": requests, "seconds": 0.1 * requests}
    return worker, {"repo_id": "acme/crypto", **amounts}


def test_locked_models_that_the_tests_loaded_themselves() -> None:
    through = "used through the Hub's client"
    assert summary_lines([], [], [use(""), use("")]) == [f"acme/crypto: cached, 0 requests to the Hub; {through}"]
    assert summary_lines([], [], [use("gw1", 2), use("gw0"), use("gw1", 1), use("gw1")]) == [
        "acme/crypto: fetched by gw1 (3 files, 300 bytes, 3 requests to the Hub, 0.3 s); "
        f"{through} by 2 workers (gw0, gw1)"
    ]
    assert summary_lines([load("", load_seconds=1)], [], [use("")]) == [
        "acme/crypto: cached, 0 requests to the Hub; loaded in 1.0 s",
        f"acme/crypto: cached, 0 requests to the Hub; {through}",
    ]
