"""Scripted answers: `fake.when(…).returns(…)` and `.raises(…)`."""

from __future__ import annotations

import re

import pytest

from modelenv.errors import ConfigurationError
from modelenv.fakes import fake_pipeline
from modelenv.fakes.text.text_classification import FakeTextClassificationPipeline

CRASH = "The crash of 1929"


@pytest.fixture
def fake() -> FakeTextClassificationPipeline:
    fake = fake_pipeline("sentiment", model="some/model")
    assert isinstance(fake, FakeTextClassificationPipeline)
    return fake


def test_an_answer_has_the_structure_of_the_call_form() -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    fake.when("crash").returns("NEGATIVE", 0.97)
    answer = {"label": "NEGATIVE", "score": 0.97}
    rest = {"label": "POSITIVE", "score": pytest.approx(0.03)}
    assert fake(CRASH) == [answer]
    assert fake(CRASH, top_k=1) == [answer]
    assert fake(CRASH, top_k=None) == [answer, rest]
    assert fake([CRASH, CRASH], top_k=2) == [[answer, rest], [answer, rest]]
    assert fake((CRASH,)) == answer
    assert fake({"text": "a", "text_pair": CRASH}) == answer
    assert fake([[["a", CRASH]]]) == [answer]
    assert list(fake(text for text in [CRASH])) == [answer]
    assert fake(["a calm day", CRASH])[1] == answer != fake("a calm day")[0]


def test_the_other_labels_share_the_rest(fake: FakeTextClassificationPipeline) -> None:
    fake.when("crash").returns("NEUTRAL", 0.2)
    [answers] = fake(CRASH)
    assert [(answer["label"], answer["score"]) for answer in answers] == [
        ("NEGATIVE", pytest.approx(0.4)),
        ("POSITIVE", pytest.approx(0.4)),
        ("NEUTRAL", 0.2),
    ]
    assert fake(CRASH, top_k=1) == [{"label": "NEUTRAL", "score": 0.2}]


def test_a_pattern_is_a_part_an_expression_or_a_function(fake: FakeTextClassificationPipeline) -> None:
    fake.when("Crash").returns("POSITIVE", 0.91)
    fake.when(re.compile("^LONG", re.IGNORECASE)).returns("POSITIVE", 0.92)
    fake.when(lambda text: len(text) > 50).returns("POSITIVE", 0.93)
    scores = {text: fake(text)[0][0]["score"] for text in ("Crash!", CRASH, "long ago", "so long", "x" * 51)}
    assert (scores["Crash!"], scores["long ago"], scores["x" * 51]) == (0.91, 0.92, 0.93)
    assert not {scores[CRASH], scores["so long"]} & {0.91, 0.92, 0.93}


def test_the_last_matching_rule_applies(fake: FakeTextClassificationPipeline) -> None:
    fake.when("crash").returns("NEGATIVE", 0.9)
    fake.when("").returns("NEUTRAL", 0.8)
    assert fake(CRASH, top_k=1) == fake("anything", top_k=1) == [{"label": "NEUTRAL", "score": 0.8}]
    fake.when("crash").returns("POSITIVE", 1)
    assert fake(CRASH, top_k=1) == [{"label": "POSITIVE", "score": 1.0}]
    assert type(fake(CRASH, top_k=1)[0]["score"]) is float


def test_reset_mock_keeps_the_rules(fake: FakeTextClassificationPipeline) -> None:
    fake.when("crash").returns("NEGATIVE", 0.9)
    fake.reset_mock(return_value=True, side_effect=True)
    assert fake(CRASH, top_k=1) == [{"label": "NEGATIVE", "score": 0.9}]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), RuntimeError])
def test_a_rule_can_raise(fake: FakeTextClassificationPipeline, error: RuntimeError | type[RuntimeError]) -> None:
    fake.when("crash").raises(error)
    with pytest.raises(RuntimeError):
        fake(["a calm day", CRASH])
    assert fake("a calm day")
    assert fake.call_count == 2


def test_invalid_input_is_an_error_even_with_a_rule(fake: FakeTextClassificationPipeline) -> None:
    fake.when("").returns("NEGATIVE", 0.9)
    with pytest.raises(ValueError, match="the input has no text"):
        fake(None)


def test_a_regression_can_be_scripted_with_any_number() -> None:
    fake = fake_pipeline("text-classification", config={"num_labels": 2, "problem_type": "regression"})
    fake.when("crash").returns("LABEL_1", -3.5)
    assert fake(CRASH, top_k=None) == [
        {"label": "LABEL_0", "score": 0.0},
        {"label": "LABEL_1", "score": -3.5},
    ]
    with pytest.raises(ConfigurationError, match="expected: a finite number"):
        fake.when("crash").returns("LABEL_1", float("inf"))


def test_the_error_for_an_unknown_label_lists_the_labels(fake: FakeTextClassificationPipeline) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fake.when("crash").returns("negative", 0.97)
    assert str(caught.value) == (
        "some/model: the model has no label 'negative'\n"
        "  expected: one of NEGATIVE, NEUTRAL, POSITIVE\n"
        "  what to do: if the model has other labels, pass config={'id2label': {…}}, or the model's folder"
    )


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), "0.9", True, None])
def test_a_score_that_is_not_a_probability_is_an_error(fake: FakeTextClassificationPipeline, score: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fake.when("crash").returns("NEGATIVE", score)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "some/model: the score of 'NEGATIVE' cannot come from this model\n"
        "  expected: a number from 0 to 1\n"
        f"  found: {score!r}\n"
        "  what to do: a classifier's scores are probabilities"
    )


def test_a_pattern_of_another_kind_is_an_error(fake: FakeTextClassificationPipeline) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fake.when(1)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "invalid pattern of a rule\n"
        "  expected: a part of the text, a compiled regular expression, or a function of the text\n"
        "  found: 1\n"
        '  what to do: write fake.when("crash") or fake.when(re.compile("crash", re.IGNORECASE))'
    )


@pytest.mark.parametrize("error", ["boom", int])
def test_only_exceptions_can_be_raised(fake: FakeTextClassificationPipeline, error: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fake.when("crash").raises(error)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "a rule can only raise an exception\n"
        "  expected: an exception or an exception class\n"
        f"  found: {error!r}\n"
        '  what to do: write fake.when("crash").raises(RuntimeError("out of memory"))'
    )
