"""A fake can be copied and pickled, like a real pipeline."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any
from unittest.mock import DEFAULT

import pytest

from modelenv.fakes import fake_pipeline
from modelenv.fakes.registry import FAMILIES

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda fake: pickle.loads(pickle.dumps(fake)),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@ways
@pytest.mark.parametrize("task", sorted(FAMILIES))
def test_a_copy_is_a_fake_of_the_same_model(task: str, way: Callable[[Any], Any]) -> None:
    fake = fake_pipeline(task, model="some/model", batch_size=2)
    found = way(fake)
    assert type(found) is type(fake)
    assert (found.task, repr(found), repr(found.model.config)) == (task, repr(fake), repr(fake.model.config))


@ways
def test_a_copy_has_the_scripted_answers_and_its_own_calls(way: Callable[[Any], Any]) -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    fake.when("crash").returns("NEGATIVE", 0.97)
    computed = fake("a")
    found = way(fake)
    assert found("crash") == [{"label": "NEGATIVE", "score": 0.97}]
    assert found("a") == computed
    assert (fake.call_count, found.call_count) == (1, 2)


@ways
def test_a_copy_keeps_the_answers_that_were_set(way: Callable[[Any], Any]) -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    fake.return_value = "set"
    fake.side_effect = ["first", DEFAULT]
    found = way(fake)
    assert (found("a"), found("a")) == ("first", "set")
    found.return_value = DEFAULT
    assert fake.return_value == "set"


@ways
def test_a_fake_can_be_copied_after_a_call_with_a_generator(way: Callable[[Any], Any]) -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    answers = list(fake(text for text in "ab"))
    assert list(way(fake)(["a", "b"])) == answers


@ways
def test_a_copy_keeps_rules_for_paths(way: Callable[[Any], Any]) -> None:
    fake = fake_pipeline("automatic-speech-recognition", model="some/model")
    fake.when("call.wav").returns("hello")
    assert way(fake)("https://example.invalid/call.wav") == {"text": "hello"}


@ways
def test_a_config_and_a_model_can_be_copied(way: Callable[[Any], Any]) -> None:
    fake = fake_pipeline("text-classification", config={"model_type": "bert", "hidden_size": 8})
    assert way(fake.model.config).hidden_size == way(fake.model).config.hidden_size == 8
    assert way(fake.device) == fake.device


@ways
@pytest.mark.integration
@pytest.mark.parametrize("task", ["text-generation", "fill-mask"])
def test_a_copy_of_a_fake_with_a_tokenizer_encodes_the_same_tokens(task: str, way: Callable[[Any], Any]) -> None:
    from modelenv.testing import tiny_model

    fake = fake_pipeline(task, model=tiny_model(task))
    ids = fake.tokenizer.encode("the price is up")
    assert way(fake).tokenizer.encode("the price is up") == way(fake.tokenizer).encode("the price is up") == ids
