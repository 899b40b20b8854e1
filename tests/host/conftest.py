"""Fixtures for the tests of the model host. The session's host has a folder of its own, and ends with the tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.messages.protocol import Recipe
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading.spec import ModelSpec

HELD = "hosted calls"  # the user property of a report with the results of a task's contract


@pytest.fixture(scope="session")
def host_folder() -> Iterator[HostFolder]:
    """A private folder with a short path, because a socket's address has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as folder:
        yield HostFolder(Path(folder))


@pytest.fixture(scope="session")
def client(host_folder: HostFolder) -> Iterator[HostClient]:
    """A client of the session's host, which caches answers like a kept host."""
    client = HostClient(host_folder, watch=os.getpid(), answers=64 << 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # as many threads as `local`, so that results are equal to the bit
        client.start()
    yield client
    client.stop()


@pytest.fixture
def recipe(classifier: Path) -> Recipe:
    """The recipe of the classifier, with the scores of all labels."""
    return recipe_of(
        ModelSpec(classifier, "text-classification", {"top_k": None}, model="acme/sentiment", device="cpu")
    )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Give torch as many threads in this process as in the host, because the last bits depend on their number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def local(classifier: Path, one_thread: None) -> Any:
    """The same pipeline in this process."""
    from transformers import pipeline

    return pipeline("text-classification", model=str(classifier), top_k=None, device="cpu")


@pytest.fixture
def reasons() -> list[str]:
    """The reasons for which the hosted pipeline was loaded in this process."""
    return []


@pytest.fixture
def hosted(client: HostClient, recipe: Recipe, local: Any, reasons: list[str]) -> HostedPipeline:
    """The pipeline in the host."""
    return HostedPipeline(client, recipe, lambda: local, reasons.append)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many calls of a hosted pipeline had the same result as a local one, for each task and in total."""
    reports = [report for category in ("passed", "failed") for report in terminalreporter.stats.get(category, ())]
    rows = [value for report in reports for key, value in report.user_properties if key == HELD]
    if rows:
        terminalreporter.section("contract: calls with the same result from a hosted and a local pipeline")
        total = ["all tasks", *(sum(row[column] for row in rows) for column in (1, 2, 3))]
        for task, held, calls, here in (*sorted(rows), total):
            terminalreporter.write_line(
                f"{task:32} {held:5} of {calls:5}, {here:3} of them in the test's own process"
            )
