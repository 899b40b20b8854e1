"""The fakes of the text tasks from a user's view. `test_contracts.py` tests their call forms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ConfigurationError
from modelenv.fakes import fake_pipeline

QUESTIONS = {
    "refund": {"type": "noul", "instructions": "Is a refund requested?"},
    "tone": {"type": "choice", "criteria": {"calm": None, "angry": None}},
    "urgency": {"type": "score", "criteria": ["Can wait", "Today"]},
}
TABLE = {"city": ["paris", "london"], "stars": ["3", "5"]}


def test_tokens_are_tagged_as_scripted() -> None:
    fake = fake_pipeline("ner", aggregation_strategy="simple")
    fake.when("Sarah").returns({"Sarah": "PER", "New York": "LOC"}, 0.9)
    text = "Sarah lives in New York, and Sarah works."
    found = fake(text)
    assert [(entity["entity_group"], entity["word"]) for entity in found] == [
        ("PER", "Sarah"), ("LOC", "New York"), ("PER", "Sarah"),
    ]  # fmt: skip
    assert all(text[entity["start"] : entity["end"]] == entity["word"] for entity in found)
    assert [float(entity["score"]) for entity in found] == pytest.approx([0.9] * 3)
    plain = fake_pipeline("ner")
    plain.when("Sarah").returns({"New York": "B-LOC"})
    assert [entity["entity"] for entity in plain(text)] == ["B-LOC", "I-LOC"]


def test_candidate_labels_are_ranked_as_scripted() -> None:
    fake = fake_pipeline("zero-shot-classification")
    fake.when("refund").returns("billing", 0.8)
    answer = fake("I want a refund", ["sports", "billing", "travel"])
    assert (answer["labels"][0], answer["scores"]) == ("billing", pytest.approx([0.8, 0.1, 0.1]))
    assert fake("I want a refund", ["sports", "travel"]) == fake_pipeline("zero-shot-classification")(
        "I want a refund", ["sports", "travel"]
    )
    alone = fake("I want a refund", ["sports", "billing"], multi_label=True)
    assert dict(zip(alone["labels"], alone["scores"], strict=True))["billing"] == 0.8


def test_a_mask_is_filled_as_scripted() -> None:
    fake = fake_pipeline("fill-mask")
    fake.when("capital").returns("Paris", 0.6)
    text = f"The capital is {fake.tokenizer.mask_token}."
    best, *rest = fake(text)
    assert (best["token_str"], best["score"], best["sequence"]) == ("Paris", 0.6, "The capital is Paris.")
    assert sum(answer["score"] for answer in rest) <= 0.4
    assert fake_pipeline("fill-mask", model="some/roberta").tokenizer.mask_token == "<mask>"
    assert len(fake("A <mask> text", top_k=2)) == 2


def test_text_is_generated_as_scripted() -> None:
    fake = fake_pipeline("text-generation")
    fake.when("capital").returns(" Paris.", " Lyon.")
    prompt = "The capital is"
    assert fake(prompt) == [{"generated_text": "The capital is Paris."}]
    assert fake(prompt, num_return_sequences=3, return_full_text=False) == [
        {"generated_text": " Paris."}, {"generated_text": " Lyon."}, {"generated_text": " Paris."},
    ]  # fmt: skip
    chat = [{"role": "user", "content": "Name the capital"}]
    assert fake(chat) == [{"generated_text": [*chat, {"role": "assistant", "content": " Paris."}]}]
    begun = [*chat, {"role": "assistant", "content": "It is"}]
    assert fake(begun)[0]["generated_text"][-1] == {"role": "assistant", "content": "It is Paris."}


def test_text_has_the_requested_length() -> None:
    fake = fake_pipeline("text-generation")
    [answer] = fake("Once upon a time", max_new_tokens=5)
    assert answer["generated_text"].startswith("Once upon a time ")
    assert len(answer["generated_text"].split()) == 4 + 5
    first, second = fake("Once", num_return_sequences=2)
    assert first != second


def test_a_vector_is_returned_as_scripted() -> None:
    fake = fake_pipeline("feature-extraction", config={"hidden_size": 3})
    fake.when("crash").returns([1, 0.5, 0])
    [rows] = fake("the crash")
    assert rows == [[1.0, 0.5, 0.0]] * 4
    assert len(fake_pipeline("feature-extraction")("a")[0][0]) == 768


def test_texts_with_common_words_are_closer() -> None:
    fake = fake_pipeline("feature-extraction")

    def mean(text: str) -> list[float]:
        [rows] = fake(text)
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    def product(first: str, second: str) -> float:
        return sum(a * b for a, b in zip(mean(first), mean(second), strict=True))

    assert product("bitcoin falls today", "bitcoin falls again") > product("bitcoin falls today", "we cook red rice")


def test_decisions_are_returned_as_scripted() -> None:
    fake = fake_pipeline("decision")
    fake.when("charged twice").returns("refund", True, 0.9)
    fake.when("furious").returns("tone", "angry", 0.8)
    answers = fake({"state": "I was charged twice", "questions": QUESTIONS})
    assert answers["refund"] == {"type": "noul", "noul": 0.9}
    assert list(answers) == list(QUESTIONS)
    angry = fake({"state": "I am furious", "questions": QUESTIONS})["tone"]
    assert (angry["choice"], angry["probabilities"]["angry"]) == ("angry", 0.8)
    assert angry["confidence"] == pytest.approx(0.6)


def test_a_question_about_a_table_is_answered_as_scripted() -> None:
    fake = fake_pipeline("table-question-answering")
    fake.when("stars").returns((0, 1), (1, 1), aggregator="SUM")
    assert fake(TABLE, "how many stars") == {
        "answer": "SUM > 3, 5", "coordinates": [(0, 1), (1, 1)], "cells": ["3", "5"], "aggregator": "SUM",
    }  # fmt: skip
    assert fake(TABLE, "which city")["cells"][0] in {"paris", "london", "3", "5"}
    other = fake_pipeline("table-question-answering", config={"model_type": "bart"})
    with pytest.raises(ValueError, match="only TAPAS"):
        other(TABLE, "which city")


@pytest.mark.parametrize(
    ("task", "answer", "text"),
    [
        ("ner", ({"a": "XXX"},), "the model has no label 'XXX'"),
        ("ner", ({"a": "PER"}, 0.01), "the score is too low or too high for the most likely label"),
        ("zero-shot-classification", ("a", 1.5), "the score of 'a' cannot come from this model"),
        ("fill-mask", ("a", True), "the score of 'a' cannot come from this model"),
        ("text-generation", (), "a text generator can only return texts"),
        ("text-generation", (1,), "a text generator can only return texts"),
        ("feature-extraction", ([1.0],), "expected: 768 numbers"),
        ("decision", ("a", "b", 2), "the probability of 'b' is not valid"),
        ("table-question-answering", ((0, 0, 0),), "the model cannot return this answer"),
    ],
)
def test_an_answer_that_the_model_cannot_return_is_an_error(task: str, answer: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fake_pipeline(task).when("a").returns(*answer)
    assert text in str(caught.value)


CALLS: dict[str, tuple[Any, ...]] = {
    "ner": ("Sarah lives in Paris",),
    "zero-shot-classification": ("a text", ["a", "b"]),
    "fill-mask": ("a [MASK]",),
    "text-generation": ("a text",),
    "feature-extraction": ("a text",),
    "decision": ({"state": "a", "questions": QUESTIONS},),
    "table-question-answering": (TABLE, "a"),
}


@pytest.mark.parametrize("task", CALLS)
def test_every_fake_is_a_mock_and_can_raise(task: str) -> None:
    fake = fake_pipeline(task)
    fake(*CALLS[task])
    fake.assert_called_once_with(*CALLS[task])
    assert fake.task == task
    fake.when("a").raises(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        fake(*CALLS[task])


@pytest.mark.slow
def test_answers_are_the_same_in_every_process_without_torch() -> None:
    code = (
        "import json, sys; from modelenv.fakes import fake_pipeline\n"
        "for task, arguments in json.loads(sys.argv[1]).items():\n"
        "    print(task, fake_pipeline(task)(*arguments))\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'tokenizers', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, json.dumps(CALLS)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("task", "inputs", "kwargs", "text"),
    [
        ("ner", None, {}, "pass at least one text"),
        ("ner", "a", {"aggregation_strategy": "x"}, "must be one of none, simple, first, average, max"),
        ("ner", "a", {"stride": 1, "aggregation_strategy": "none"}, "stride needs an aggregation_strategy"),
        ("fill-mask", "a", {}, "the input has no mask token: write [MASK]"),
        ("fill-mask", "[MASK]", {"top_k": "x"}, "top_k must be a whole number, found 'x'"),
        ("fill-mask", "[MASK]", {"targets": []}, "targets must contain at least one token"),
        ("text-generation", "a", {"max_new_tokens": 0}, "max_new_tokens must be greater than 0, found 0"),
        ("text-generation", "a", {"colour": 1}, "these arguments are not used by the model: colour"),
        ("text-generation", "a", {"max_length": 1}, "but max_length is 1: set max_new_tokens"),
        ("text-generation", "a", {"num_return_sequences": 2, "do_sample": False}, "greedy decoding returns one"),
        ("text-generation", "a", {"temperature": 0.0}, "temperature must be a float greater than 0, found 0.0"),
        ("zero-shot-classification", "a", {"candidate_labels": []}, "at least one candidate label and one text"),
        ("decision", {"state": "a", "questions": {"q": {}}}, {}, "the type must be one of noul, choice, score"),
        ("decision", {}, {}, 'a request must be {"state": …, "questions"'),
        ("table-question-answering", {"table": {}, "query": "a"}, {}, "the table is empty"),
    ],
)
def test_errors_for_invalid_input_say_what_is_wrong(
    task: str, inputs: Any, kwargs: dict[str, Any], text: str
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the contract tests the classes
        fake_pipeline(task)(inputs, **kwargs)
    assert text in str(caught.value)


@pytest.mark.integration
def test_the_generation_arguments_are_those_of_the_installed_transformers() -> None:
    from transformers import GenerationConfig

    from modelenv.fakes.text.generating import GENERATION_CONFIG

    assert {name for name in vars(GenerationConfig()) if not name.startswith("_")} == GENERATION_CONFIG


@pytest.mark.integration
def test_the_tokenizer_of_a_folder_equals_that_of_the_real_model(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from modelenv.testing import tiny_model

    folder = tiny_model("fill-mask", tmp_path / "model")
    expected, found = AutoTokenizer.from_pretrained(folder), fake_pipeline("fill-mask", model=folder).tokenizer
    text = "Sarah's price of [MASK], 3.14"
    for name in ("mask_token", "mask_token_id", "pad_token_id", "bos_token", "model_max_length", "padding_side"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.encode(text) == expected.encode(text)
    assert found.tokenize(text) == expected.tokenize(text)
    assert found.decode(found.encode(text)) == expected.decode(expected.encode(text))
    assert found.convert_tokens_to_ids(["the", "unheard"]) == expected.convert_tokens_to_ids(["the", "unheard"])
    assert len(found) == len(expected)
    with pytest.raises(AttributeError, match="the tokenizer of a fake has no 'batch_decode'"):
        _ = found.batch_decode


def test_the_example_in_the_documentation_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fakes.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/fakes.md", "exec"), {})
