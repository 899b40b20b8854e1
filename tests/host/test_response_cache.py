"""A kept host caches only answers that an equal call is sure to have."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.messages.call_context import Surroundings
from modelenv.host.messages.protocol import Call, Recipe
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.host.serving.response_cache import CacheKey, ResponseCache
from modelenv.loading.reports import Notice
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model


def key(*args: Any, task: str = "text-classification", path: tuple[str, ...] = (), **kwargs: Any) -> CacheKey | None:
    recipe = Recipe("/models/tiny", 1, task, b"", "cpu", False, "acme/tiny")
    return CacheKey.of(Call(recipe, path, args, kwargs, Surroundings()))


def test_equal_calls_have_equal_keys() -> None:
    assert key("a text", top_k=2) is not None
    assert key("a text", top_k=2) == key("a text", top_k=2)
    others = [
        key("another text", top_k=2),
        key("a text", top_k=1),
        key("a text", top_k=True),
        key("a text", top_k=2.0),
        key("a text", 2),
        key(["a text"], top_k=2),
        key(("a text",), top_k=2),
        key("a text", top_k=2, task="fill-mask"),
    ]
    assert None not in others
    assert len({key("a text", top_k=2), *others}) == len(others) + 1


@pytest.mark.parametrize(
    "other",
    [
        key("cat.png", task="image-classification"),
        key("https://example.com/cat.png", task="image-text-to-text"),
        key("a text", path=("tokenizer", "__call__")),
        key(object()),
        key("a text", stopping_criteria=[object()]),
        key([{"role": "user", "content": "the date?"}], task="text-generation"),
    ],
    ids=["a path", "a URL", "another method", "an object", "an object in a list", "a chat"],
)
def test_a_call_whose_answer_can_depend_on_anything_else_has_no_key(other: CacheKey | None) -> None:
    assert other is None


def test_the_least_recently_used_answer_is_dropped() -> None:
    answers = ResponseCache(limit=10_000)
    first, second, third = (key(text) for text in ("one", "two", "three"))
    assert first is not None
    assert second is not None
    assert third is not None
    answers.keep(first, bytes(4000))
    answers.keep(second, bytes(4000))
    answers.keep(first, bytes(4000))  # again, by another worker: it counts once
    assert answers.find(first) == bytes(4000)
    answers.keep(third, bytes(4000))
    assert answers.find(second) is None
    assert answers.find(first) is not None
    assert answers.find(third) is not None
    answers.keep(second, bytes(20_000))  # larger than the limit
    assert [answers.find(each) for each in (first, second, third)] == [None, None, None]


def test_cached_answers_are_counted() -> None:
    answers = ResponseCache(limit=10_000)
    one = key("one")
    assert one is not None
    assert answers.find(one) is None
    answers.keep(one, b"an answer")
    answers.find(one)
    answers.find(one)
    assert answers.take_reused() == {"acme/tiny": 2}
    assert answers.take_reused() == {}


@pytest.fixture
def count(client: HostClient) -> Iterator[Any]:
    """A function that returns the number of cached answers that the host has used since its last call."""

    def taken() -> int:
        texts = [report.text for report in client.take_reports() if isinstance(report, Notice)]
        assert all(text.endswith(" of earlier calls reused") for text in texts)
        return sum(int(text.partition(" ")[0]) for text in texts)

    taken()
    yield taken
    taken()


def hosted(client: HostClient, folder: Path, task: str) -> HostedPipeline:
    recipe = recipe_of(ModelSpec(folder, task, {}, model="acme/tiny", device="cpu"))
    return HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)


@pytest.mark.integration
def test_an_equal_call_gets_a_copy_of_the_cached_answer(client: HostClient, count: Any, tmp_path: Path) -> None:
    pipe = hosted(client, tiny_model("feature-extraction", tmp_path / "model", seed=11), "feature-extraction")
    first = pipe("a text")
    assert count() == 0
    again = pipe("a text")
    assert again == first
    again[0].clear()
    assert pipe("a text") == first
    assert count() == 2
    assert pipe("another text") != first
    assert count() == 0


@pytest.mark.integration
def test_a_call_that_draws_random_numbers_is_computed_each_time(client: HostClient, count: Any) -> None:
    pipe = hosted(client, tiny_model("text-generation"), "text-generation")
    drawn = {pipe("the market", do_sample=True, max_new_tokens=20)[0]["generated_text"] for _ in range(5)}
    assert len(drawn) > 1
    assert count() == 0
    greedy = {pipe("the market", do_sample=False, max_new_tokens=20)[0]["generated_text"] for _ in range(5)}
    assert len(greedy) == 1
    assert count() == 4


@pytest.mark.integration
def test_a_changed_folder_is_another_model(client: HostClient, count: Any, tmp_path: Path) -> None:
    answers = []
    for seed in (1, 2):
        folder = tiny_model("feature-extraction", tmp_path / f"made-{seed}", seed=seed)
        (tmp_path / "model").unlink(missing_ok=True)
        (tmp_path / "model").symlink_to(folder)
        answers.append(hosted(client, tmp_path / "model", "feature-extraction")("a text"))
    assert answers[0] != answers[1]
    assert count() == 0


@pytest.mark.integration
def test_a_host_that_is_not_kept_computes_each_call() -> None:
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as place:
        client = HostClient(HostFolder(Path(place)), watch=os.getpid())
        try:
            pipe = hosted(client, tiny_model("fill-mask"), "fill-mask")
            assert pipe("the [MASK]") == pipe("the [MASK]")
            assert client.take_reports() == ()
        finally:
            client.stop()
