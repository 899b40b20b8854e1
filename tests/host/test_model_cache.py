"""The memory limit of a host: the least recently used model is unloaded, and loaded again on the next request."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.messages.protocol import HostStatus
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading.build import REST_OF_A_PIPELINE
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model

pytestmark = pytest.mark.integration
TASK = "text-classification"


@pytest.fixture
def limited() -> Iterator[Callable[[float], HostClient]]:
    """A function that returns a client of a new host, whose limit is this number of tiny models."""
    clients = []

    def make(models: float) -> HostClient:
        folder = HostFolder(Path(tempfile.mkdtemp(prefix="modelenv-host-")))
        clients.append(HostClient(folder, watch=os.getpid(), memory=int(models * bytes_of_one())))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()


def bytes_of_one() -> int:
    """Return the bytes of the tiny model's tensors, as torch counts them, and of the rest."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tiny_model(TASK))
    return REST_OF_A_PIPELINE + sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def hosted(client: HostClient, seed: int, **kwargs: object) -> HostedPipeline:
    folder = tiny_model(TASK, seed=seed)
    recipe = recipe_of(ModelSpec(folder, TASK, kwargs, model=f"acme/{seed}", device="cpu"))
    return HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)


def held(client: HostClient) -> tuple[list[str], int, int]:
    """Return the models that the host holds, and the numbers of loads and unloads."""
    status = client.status()
    assert status is not None
    assert status.bytes == len(status.models) * bytes_of_one()
    names = sorted(model.removeprefix("acme/").removesuffix(f" ({TASK})") for model in status.models)
    return names, status.loads, status.unloads


def test_the_least_recently_used_model_is_unloaded_and_loaded_again(limited: Callable[[float], HostClient]) -> None:
    client = limited(2.5)
    pipes = [hosted(client, seed) for seed in range(3)]
    first = [pipes[0]("a"), pipes[1]("a")]
    assert held(client) == (["0", "1"], 2, 0)
    pipes[0]("b")
    pipes[2]("a")
    assert held(client) == (["0", "2"], 3, 1)
    assert pipes[1]("a") == first[1]
    assert held(client) == (["1", "2"], 4, 2)
    assert pipes[0].model.config.num_labels == 3
    assert pipes[0]("a") == first[0]
    assert held(client) == (["0", "1"], 5, 3)


def test_a_model_in_use_is_kept_and_one_that_is_too_large_is_held_alone(
    limited: Callable[[float], HostClient],
) -> None:
    client = limited(0.5)
    stream = hosted(client, 0)(text for text in "abc")
    assert next(iter(stream))
    hosted(client, 1)("a")
    assert held(client)[0] == ["0", "1"]
    assert len(list(stream._results)) == 2
    hosted(client, 2)("a")
    assert held(client) == (["2"], 3, 2)


def test_threads_that_use_many_models(limited: Callable[[float], HostClient]) -> None:
    client = limited(2.5)
    pipes = [hosted(client, seed) for seed in range(4)]
    expected = [pipe("a") for pipe in pipes]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: pipes[number % 4]("a"), range(40)))
    assert answers == expected * 10
    names, loads, unloads = held(client)
    assert loads - unloads == len(names) <= 2


def test_without_a_limit_each_model_is_loaded_once(client: HostClient) -> None:
    hosted(client, 3)("a")
    before = client.status()
    assert before is not None
    for _ in range(2):
        for seed in range(3):
            hosted(client, seed, top_k=2)("a")
    after = client.status()
    assert isinstance(after, HostStatus)
    assert (after.loads - before.loads, after.unloads, after.memory) == (3, 0, None)
    client.build(hosted(client, 0, top_k=2)._remote.recipe, Deadline(10))
    assert client.status().loads == after.loads  # type: ignore[union-attr]
