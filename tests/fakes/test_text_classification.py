"""The fake classifier from a user's view. `test_contracts.py` tests all its call forms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from modelenv.errors import ConfigurationError
from modelenv.fakes import fake_pipeline

TEXTS = [f"{subject} {verb} by {number}" for subject in ("Bitcoin", "stocks", "gold", "oil")
         for verb in ("rises", "falls", "moves") for number in range(50)]  # fmt: skip


def scores_of(answers: list[dict[str, Any]]) -> list[float]:
    return [answer["score"] for answer in answers]


def test_the_answer_to_a_text_is_a_list_with_one_label() -> None:
    [answer] = fake_pipeline("text-classification")("Bitcoin price surge")
    assert list(answer) == ["label", "score"]
    assert answer["label"] in ("NEGATIVE", "POSITIVE")
    assert type(answer["score"]) is float


def test_sentiment_returns_the_scores_of_all_labels() -> None:
    [answers] = fake_pipeline("sentiment")("Bitcoin price surge")
    assert sorted(answer["label"] for answer in answers) == ["NEGATIVE", "NEUTRAL", "POSITIVE"]
    assert scores_of(answers) == sorted(scores_of(answers), reverse=True)
    assert sum(scores_of(answers)) == pytest.approx(1, abs=1e-6)


def test_an_argument_overrides_the_defaults_of_sentiment() -> None:
    assert len(fake_pipeline("sentiment", top_k=2)("Bitcoin")[0]) == 2


def test_the_alias_of_transformers_is_text_classification() -> None:
    fake = fake_pipeline("sentiment-analysis")
    assert fake.task == "sentiment-analysis"
    assert fake("Bitcoin") == fake_pipeline("text-classification")("Bitcoin")


def test_the_answer_to_a_text_is_the_same_in_every_call_form() -> None:
    fake = fake_pipeline("text-classification")
    [answer] = fake("Bitcoin")
    assert fake(["Bitcoin"]) == [answer]
    assert fake(("Bitcoin",)) == answer
    assert fake({"text": "Bitcoin"}) == answer
    assert list(fake(text for text in ["Bitcoin"])) == [answer]
    assert fake("Bitcoin", top_k=1) == [answer]
    assert fake(["Bitcoin"], top_k=None)[0][0] == answer
    assert fake(inputs="Bitcoin", batch_size=4, truncation=True) == [answer]
    assert fake.predict("Bitcoin") == fake.transform("Bitcoin") == [answer]


def test_different_inputs_and_models_have_different_answers() -> None:
    fake, other = (fake_pipeline("text-classification", model=name) for name in ("a/b", "a/c"))
    answers = [fake(text)[0]["score"] for text in TEXTS]
    assert len(set(answers)) == len(TEXTS)
    assert not set(answers) & {other(text)[0]["score"] for text in TEXTS}
    pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("bc", "a")]
    assert len({fake({"text": text, "text_pair": pair})["score"] for text, pair in pairs}) == len(pairs)


@pytest.mark.parametrize("number", [2, 3, 28, 1000])
@pytest.mark.slow
def test_there_is_a_clear_winner_and_every_label_wins_sometimes(number: int) -> None:
    fake = fake_pipeline("text-classification", config={"num_labels": number}, top_k=None)
    answers = [fake(text)[0] for text in TEXTS]
    for answer in answers:
        assert len(answer) == number
        assert 0.73 < answer[0]["score"] < 1
        assert sum(scores_of(answer)) == pytest.approx(1, abs=1e-6)
    winners = {answer[0]["label"] for answer in answers}
    assert len(winners) > min(number, len(TEXTS)) / 2


def test_the_scores_of_a_single_label_are_above_and_below_a_half() -> None:
    fake = fake_pipeline("text-classification", config={"id2label": {"0": "TOXIC"}})
    scores = [fake(text)[0]["score"] for text in TEXTS]
    assert all(0 < score < 1 and abs(score - 0.5) > 0.1 for score in scores)
    assert 0.3 < sum(score > 0.5 for score in scores) / len(scores) < 0.7


def test_regression_returns_the_raw_output() -> None:
    fake = fake_pipeline("text-classification", config={"num_labels": 1, "problem_type": "regression"})
    scores = [fake(text)[0]["score"] for text in TEXTS]
    assert min(scores) < 0
    assert max(scores) > 1


def test_answers_are_the_same_in_every_process_and_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from modelenv.fakes import fake_pipeline\n"
        "fake = fake_pipeline('sentiment', model='ProsusAI/finbert')\n"
        "print(fake('Bitcoin'), fake({'text': 'a', 'text_pair': 'b'}), list(fake(t for t in 'ab')))\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'numpy', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert str(fake_pipeline("sentiment", model="ProsusAI/finbert")("Bitcoin")) in outputs[0]


def test_an_answer_does_not_change() -> None:
    """Users' tests can depend on the scores, so a change here would change their answers."""
    [answer] = fake_pipeline("text-classification", model="ProsusAI/finbert")("Bitcoin price surge")
    assert answer == {"label": "NEGATIVE", "score": pytest.approx(0.9963523148880222)}


def test_a_task_without_a_fake_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelenv.fakes.registry.FAMILIES", {"fill-mask": "", "decision": ""})
    with pytest.raises(ConfigurationError) as caught:
        fake_pipeline("text-classification", model="some/model")
    assert str(caught.value) == (
        "some/model: there is no fake for the task 'text-classification' yet\n"
        "  expected: one of decision, fill-mask\n"
        "  what to do: mark the test with @pytest.mark.integration and run pytest with --real-models"
    )


def test_an_unknown_task_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown task 'sentimental'"):
        fake_pipeline("sentimental")


@pytest.mark.parametrize(
    ("inputs", "kwargs", "error", "text"),
    [
        (None, {}, ValueError, "the input has no text: pass a string, or a dict with the key 'text'"),
        (1, {}, ValueError, "a text must be a string, found int: 1"),
        ([["a", "b"]], {}, ValueError, 'for a pair of texts write {"text": "…", "text_pair": "…"}'),
        (("a b", "c"), {}, ValueError, "cannot become a tensor: pass a list or padding=True"),
        (("a", 1), {}, TypeError, "a text must be a string or a pair of strings, found 1"),
        ("\ud800", {}, TypeError, "the text is not valid Unicode: "),
        ({"text": []}, {}, IndexError, "the input contains no text"),
        ({"text": "a", "text_target": "b"}, {}, ValueError, "text and text_target cannot be passed together"),
        ({"text": ["a"], "text_pair": "b"}, {}, TypeError, "text_pair must be a list of the same length"),
        ({"text": ["a"], "text_pair": []}, {}, ValueError, "there are 1 texts, but 0 in text_pair"),
        ("a", {"padding": "x"}, ValueError, "padding must be True, False or one of longest, max_length, "),
        ("a", {"truncation": "x"}, ValueError, "truncation must be a bool or one of only_first, "),
        ("a", {"function_to_apply": 3}, ValueError, "must be sigmoid, softmax or none, found 3"),
        ("a", {"function_to_apply": "x"}, KeyError, "must be sigmoid, softmax or none, found 'x'"),
        (["a"], {"batch_size": 0}, ValueError, "batch_size must be a whole number of at least 1, found 0"),
        (["a"], {"num_workers": -1}, ValueError, "num_workers must not be negative, found -1"),
        ([], {}, IndexError, "list index out of range"),
        ([{"role": "user", "content": "a"}], {}, ValueError, "a text must be a string, found Chat"),
    ],
)
def test_invalid_input_raises_the_class_of_the_real_pipeline(
    inputs: Any, kwargs: dict[str, Any], error: type[Exception], text: str
) -> None:
    fake = fake_pipeline("text-classification")
    with pytest.raises(error, match=re.escape(text)) as caught:
        fake(inputs, **kwargs)
    assert type(caught.value) is error
    assert fake.call_count == 1


def test_an_invalid_function_is_an_error_when_the_pipeline_is_built() -> None:
    with pytest.raises(KeyError, match="found 'bogus'"):
        fake_pipeline("text-classification", function_to_apply="bogus")


def test_with_padding_a_tuple_can_have_texts_of_different_lengths() -> None:
    fake = fake_pipeline("text-classification")
    assert fake(("a b", "c"), padding=True) == fake({"text": "a b"})
