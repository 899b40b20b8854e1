"""A hosted pipeline behaves like a local one: equal results to the bit, exceptions, streams and attributes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

import pytest

from modelenv.host.messages.remote_errors import HostTraceback
from modelenv.host.proxy import HostedObject, HostedPipeline

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "call",
    [
        lambda pipe: pipe("Bitcoin price surge"),
        lambda pipe: pipe(["one", "two words", "and three words"]),
        lambda pipe: pipe(["one", "two words"], batch_size=2),
        lambda pipe: pipe({"text": "a", "text_pair": "b"}),
        lambda pipe: pipe("x", top_k=1),
        lambda pipe: pipe("x", function_to_apply="none"),
        lambda pipe: pipe(text for text in ("a", "b", "c")),
        lambda pipe: pipe((text for text in ("a", "b", "c")), batch_size=2),
        lambda pipe: pipe(text for text in ()),
        lambda pipe: pipe.predict(["x"]),
        lambda pipe: pipe.tokenizer.tokenize("Bitcoin price surge"),
        lambda pipe: pipe.tokenizer.decode(pipe.tokenizer.encode("Bitcoin price surge")),
        lambda pipe: dict(pipe.tokenizer("Bitcoin price surge")),
        lambda pipe: len(pipe.tokenizer),
        lambda pipe: pipe.tokenizer.pad_token_id,
        lambda pipe: pipe.task,
        lambda pipe: pipe.model.config.id2label,
        lambda pipe: pipe.model.config.to_dict(),
        lambda pipe: pipe.model.name_or_path,
    ],
)
def test_results_are_equal_without_a_local_load(
    hosted: HostedPipeline, local: Any, reasons: list[str], call: Any
) -> None:
    expected, found = call(local), call(hosted)
    if isinstance(expected, Iterator):
        expected, found = list(expected), list(found)
    assert found == expected
    assert type(found) is type(expected)
    assert reasons == []


@pytest.mark.parametrize(
    "call",
    [
        lambda pipe: pipe(3),
        lambda pipe: pipe(None),
        lambda pipe: pipe("x", function_to_apply="magic"),
        lambda pipe: pipe([]),
        lambda pipe: pipe(iter(())),
        lambda pipe: pipe(),
        lambda pipe: list(pipe(text for text in ("a", 3))),
        lambda pipe: pipe.no_such_attribute,
        lambda pipe: pipe.model.config.no_such_attribute,
    ],
)
def test_exceptions_are_equal(hosted: HostedPipeline, local: Any, call: Any) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - the exception of the real pipeline
        call(local)
    with pytest.raises(type(expected.value)) as found:
        call(hosted)
    assert str(found.value) == str(expected.value)
    assert isinstance(found.value.__cause__, HostTraceback) or "attribute" in str(found.value)


class OwnError(Exception):
    """An exception of this module, which the host cannot import."""


@pytest.mark.parametrize("error", [OwnError("mine"), ZeroDivisionError("mine"), KeyError("mine")])
def test_an_exception_of_a_source_comes_back_unchanged(hosted: HostedPipeline, error: Exception) -> None:
    def texts() -> Iterator[str]:
        yield "a text"
        raise error

    with pytest.raises(type(error)) as caught:
        list(hosted(texts()))
    assert caught.value is error
    assert len(list(hosted(text for text in "ab"))) == 2


def test_each_part_has_one_proxy(hosted: HostedPipeline, local: Any, reasons: list[str]) -> None:
    assert hosted.tokenizer is hosted.tokenizer
    assert hosted.model.config == hosted.model.config
    assert {hosted.tokenizer: 1}[hosted.tokenizer] == 1
    for path in ("model.config", "tokenizer", "tokenizer.decode"):
        found, expected = (attrgetter(path)(pipe) for pipe in (hosted, local))
        assert callable(found) == callable(expected)
    assert reasons == []
    config = hosted.model.config
    assert list(config) == list(local.model.config)
    assert reasons == ["model.config was iterated over"]
    with pytest.raises(TypeError, match=r"model\.config has no length"):
        len(config)


def test_the_cause_of_an_exception_shows_the_hosts_traceback(hosted: HostedPipeline) -> None:
    with pytest.raises(ValueError, match="text input must be of type") as caught:
        hosted(3)
    assert "transformers/pipelines/base.py" in str(caught.value.__cause__)


def test_a_stream_takes_items_as_needed_and_its_source_can_use_the_host(hosted: HostedPipeline) -> None:
    taken: list[int] = []

    def items() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield hosted(f"text {number}")[0][0]["label"]

    results = hosted(items())
    assert len(next(iter(results))) == 3
    assert len(taken) < 20


def test_threads_share_the_host(hosted: HostedPipeline, local: Any) -> None:
    texts = [f"text {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(hosted, texts)) == [local(text) for text in texts]


def test_an_attribute_that_cannot_be_sent_loads_the_model_here(
    hosted: HostedPipeline, local: Any, reasons: list[str]
) -> None:
    assert sum(1 for _ in hosted.model.parameters()) == sum(1 for _ in local.model.parameters())
    assert reasons == ["model.parameters was used"]
    assert hosted("x") == local("x")
    assert hosted.tokenizer is local.tokenizer
    assert len(reasons) == 1


def test_an_argument_that_cannot_be_sent_loads_the_model_here(hosted: HostedPipeline, reasons: list[str]) -> None:
    with pytest.raises(ValueError, match="text input must be of type"):
        hosted(threading.Lock())
    assert reasons[0].startswith("a call cannot run in the host: ")


def test_a_test_cannot_damage_the_model_of_another(
    hosted: HostedPipeline, client: Any, recipe: Any, local: Any, reasons: list[str]
) -> None:
    other = HostedPipeline(client, recipe, lambda: local, reasons.append)
    hosted.model.config.id2label[0] = "DAMAGED"
    hosted.model.config.id2label = {0: "A", 1: "B", 2: "C"}
    hosted.tokenizer.add_tokens(["surge"])
    assert reasons == ["its attribute 'model.config.id2label' was set"]
    assert {row["label"] for row in hosted("x")[0]} == {"A", "B", "C"}
    assert {row["label"] for row in other("x")[0]} == {"POSITIVE", "NEGATIVE", "NEUTRAL"}


def test_repr(hosted: HostedPipeline) -> None:
    assert repr(hosted) == "<HostedPipeline acme/sentiment (text-classification)>"
    assert isinstance(hosted.tokenizer, HostedObject)
    assert repr(hosted.tokenizer) == "<HostedObject acme/sentiment: tokenizer>"
