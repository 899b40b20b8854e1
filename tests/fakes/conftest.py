"""Fixtures for the contract tests: the tiny real models, and the pipelines. Prints the share of passing cases."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from modelenv.fakes import fake_pipeline
from modelenv.files.disk import write_atomically
from modelenv.testing import tiny_model

from .contract import Case, Contract

HELD = "contract case"  # the user property of a report with the task of a contract case


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[Contract, str], Path]:
    """Return a function that builds the model of a contract's variant, once for all workers of the run."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "tiny"
    root.mkdir(exist_ok=True)

    def find(contract: Contract, variant: str) -> Path:
        folder = root / contract.task / re.sub(r"\W", "-", variant or "tiny")
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                _make(contract, variant, folder)
        return folder

    return find


def _make(contract: Contract, variant: str, folder: Path) -> None:
    unfinished = folder.with_suffix(".unfinished")
    tiny_model(contract.task, unfinished)
    if variant:
        contract.variants[variant](unfinished)
    unfinished.rename(folder)


@pytest.fixture(scope="session")
def real(model_of: Callable[[Contract, str], Path]) -> Callable[[Contract], Callable[..., Any]]:
    """Return a function that builds the real pipeline of a contract's variant, once for each worker."""
    built: dict[str, Any] = {}

    def of(contract: Contract) -> Callable[..., Any]:
        if contract.needs is not None:
            pytest.importorskip(contract.needs)

        def build(variant: str, **kwargs: Any) -> Any:
            import torch
            from transformers import pipeline

            torch.set_num_threads(1)  # threads only slow down such small models
            key = f"{contract.task} {variant} {kwargs}"
            if key not in built:
                model = str(model_of(contract, variant))
                built[key] = pipeline(contract.task, model=model, **{"device": "cpu", **kwargs})
            return built[key]

        return build

    return of


@pytest.fixture(scope="session")
def real_outcome(
    real: Callable[[Contract], Callable[..., Any]], model_of: Callable[[Contract, str], Path]
) -> Callable[[Contract, Case], str]:
    """Return a function for the real pipeline's outcome of a case. The workers of the run share the outcomes."""

    def find(contract: Contract, case: Case) -> str:
        outcomes = model_of(contract, "").with_name("outcomes")
        path = outcomes / hashlib.sha256(case.name.encode()).hexdigest()
        if not path.exists():
            write_atomically(path, contract.outcome(case, real(contract)))
        return path.read_text(encoding="utf-8")

    return find


@pytest.fixture(scope="session")
def fake(model_of: Callable[[Contract, str], Path]) -> Callable[[Contract], Callable[..., Any]]:
    """Return a function that builds the fake of a contract's variant, from the same folder without the weights."""

    def of(contract: Contract) -> Callable[..., Any]:
        def build(variant: str, **kwargs: Any) -> Any:
            return fake_pipeline(contract.task, model=_without_weights(model_of(contract, variant)), **kwargs)

        return build

    return of


def _without_weights(folder: Path) -> Path:
    bare = folder.with_name(f"{folder.name}-without-weights")
    with FileLock(folder.with_suffix(".lock")):
        if not bare.exists():
            shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    return bare


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the share of contract cases that pass for the fakes, for each task and in total."""
    total: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for category in ("passed", "failed", "xfailed", "error"):
        for report in terminalreporter.stats.get(category, ()):
            for key, task in getattr(report, "user_properties", ()):  # collection reports have none
                if key == HELD:
                    total[task] += 1
                    held[task] += category == "passed"
    if not total:
        return
    terminalreporter.section("contract: cases that pass for the fakes")
    for task in sorted(total):
        terminalreporter.write_line(_share(task, held[task], total[task]))
    terminalreporter.write_line(_share("all tasks", held.total(), total.total()))


def _share(name: str, held: int, total: int) -> str:
    return f"{name:32} {held:5} of {total:5}  {held / total:7.1%}"
