"""`--model-memory`: an amount or a share of the machine's memory. The least recently used models are unloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modelenv.memory import machine_memory, parse_memory

from .projects import N2, errors_of

MACHINE = 8_000_000


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("4G", 4 << 30),
        ("4 GB", 4 << 30),
        ("1.5GiB", 3 << 29),
        ("500m", 500 << 20),
        ("16k", 16 << 10),
        ("1T", 1 << 40),
        ("12345", 12345),
        ("50%", 4_000_000),
        ("12.5 %", 1_000_000),
    ],
)
def test_amounts(text: str, bytes_: int) -> None:
    assert parse_memory(text, MACHINE) == bytes_


@pytest.mark.parametrize("text", ["", "much", "-1G", "4X", "G", "50%%", "1e9"])
def test_invalid_amounts(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory; use a value such as 4G, 500M or 50%"):
        parse_memory(text, MACHINE)


@pytest.mark.parametrize("text", ["0", "0%", "0.1"])
def test_zero(text: str) -> None:
    with pytest.raises(ValueError, match="leaves no memory for models"):
        parse_memory(text, MACHINE)


def test_the_limit_of_a_container(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = machine_memory(limit)
    assert whole > 1 << 28
    limit.write_text("max\n")
    assert machine_memory(limit) == whole
    limit.write_text("1000000\n")
    assert machine_memory(limit) == 1_000_000


def test_an_invalid_amount_is_a_usage_error(
    project: pytest.Pytester, run_tests: Callable[..., pytest.RunResult]
) -> None:
    project.makepyfile("def test(): pass")
    result = run_tests("--real-models", "--model-memory=much")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result) == [
        "--model-memory: 'much' is not an amount of memory; use a value such as 4G, 500M or 50%"
    ]


LOADS = """
import os
import pytest

pytestmark = pytest.mark.integration
loaded = []

@pytest.mark.parametrize("name", ["acme/one", "acme/two", "acme/one"])
def test(model_manager, name):
    loaded.append(model_manager.load_model(name, "text-classification"))

def test_whether_the_first_was_kept(model_manager):
    assert (loaded[2].model is loaded[0].model) == (os.environ["KEPT"] == "yes")

def test_the_last_is_kept(model_manager):
    assert model_manager.load_model("acme/one", "text-classification").model is loaded[2].model
"""


@pytest.mark.integration
@pytest.mark.parametrize(("memory", "kept"), [("1k", "no"), ("50%", "yes")])
def test_a_process_with_its_own_models_keeps_the_limit(
    project: pytest.Pytester,
    run_program: Callable[..., pytest.RunResult],
    classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: str,
    kept: str,
) -> None:
    for name in ("one", "two"):
        shutil.copytree(classifier, project.path / "models" / "acme" / name)
    monkeypatch.setenv("KEPT", kept)
    monkeypatch.setenv("MODEL_TIMEOUT", "200")
    project.makepyfile(test_it=LOADS)
    source = ("--model-source=local_cache", f"--model-cache-dir={project.path / 'models'}")
    result = run_program("--real-models", "--model-host=off", f"--model-memory={memory}", *source)
    result.assert_outcomes(passed=5)


@pytest.mark.integration
def test_workers_with_their_own_models_share_the_cores(
    project: pytest.Pytester, run_program: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(
        """
        import os
        import pytest
        from modelenv.host.serving.cores import usable_cores

        @pytest.mark.integration
        @pytest.mark.parametrize("number", range(4))
        def test_own(number):
            expected = os.environ["EXPECTED"] or str(max(1, usable_cores() // 2))
            assert os.environ["OMP_NUM_THREADS"] == expected
        """
    )
    for chosen in ("", "3"):
        monkeypatch.setenv("EXPECTED", chosen)
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
        run_program("--real-models", "--model-host=off", *N2).assert_outcomes(passed=4)
