"""A model host of this test run, in a folder of its own, which ends with the tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.pipeline import HostedPipeline
from modelenv.host.protocol import Recipe
from modelenv.host.recipes import recipe_of


@pytest.fixture(scope="session")
def host_folder() -> Iterator[HostFolder]:
    """A private folder with a short path: a socket's address has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as folder:
        yield HostFolder(Path(folder))


@pytest.fixture(scope="session")
def client(host_folder: HostFolder) -> Iterator[HostClient]:
    """A client of the session's host."""
    client = HostClient(host_folder, watch=os.getpid())
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # the host has as many threads as `local`: results are equal to the bit
        patch.setenv("OMP_NUM_THREADS", "1")
        client.start()
    yield client
    client.stop()


@pytest.fixture
def recipe(classifier: Path) -> Recipe:
    """The classifier, giving the scores of all labels."""
    return recipe_of(
        classifier,
        "text-classification",
        {"top_k": None},
        model="acme/sentiment",
        device="cpu",
        trust_remote_code=False,
    )


@pytest.fixture
def local(classifier: Path) -> Iterator[Any]:
    """The same pipeline in this process, with the threads of the host."""
    import torch
    from transformers import pipeline

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield pipeline("text-classification", model=str(classifier), top_k=None, device="cpu")
    torch.set_num_threads(threads)


@pytest.fixture
def reasons() -> list[str]:
    """Why the hosted pipeline was loaded in this process; empty if it was not."""
    return []


@pytest.fixture
def hosted(client: HostClient, recipe: Recipe, local: Any, reasons: list[str]) -> HostedPipeline:
    """The pipeline in the host."""
    return HostedPipeline(client, recipe, lambda: local, reasons.append)
