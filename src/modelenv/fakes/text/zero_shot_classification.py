"""The fake of `ZeroShotClassificationPipeline` (`transformers/pipelines/zero_shot_classification.py`, 5.24)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.chunked import FakeChunkPipeline
from modelenv.fakes.model.facts import ModelFacts
from modelenv.fakes.scripting import Pattern, Script, When
from modelenv.fakes.text.tokenized_inputs import check_positions, tokenize

_LABELS = ("contradiction", "neutral", "entailment")
_TEMPLATE = "This example is {}."


class WhenZeroShot(When):
    """A rule for a zero-shot classifier."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, label: str, score: float) -> None:
        """Answer every matching text with `label` and `score`, in every call with this candidate label.

        The other candidates share the rest of the probability evenly; with `multi_label` they keep their own scores.
        The rule does not affect a call without this candidate.

        Raises:
            ConfigurationError: The score is not in [0, 1].
        """
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise ConfigurationError(
                f"the score of {label!r} cannot come from this model",
                model=self._facts.name,
                expected="a number from 0 to 1",
                found=repr(score),
                hint="a classifier's scores are probabilities",
            )
        self._add((label, float(score)))


class FakeZeroShotClassificationPipeline(FakeChunkPipeline):
    """Ranks candidate labels with scores derived from a hash of the model's name, the text and the hypothesis.

    So the same text and label have the same weight, regardless of the other candidates.
    """

    __slots__ = ()
    _pads_batches = True

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the labels of models for natural language inference."""
        return {"id2label": dict(enumerate(_LABELS))}

    def when(self, pattern: Pattern) -> WhenZeroShot:
        """Start a rule: `fake.when("refund").returns("billing", 0.9)`.

        Raises:
            ConfigurationError: The pattern is not a text, a regular expression or a function.
        """
        return WhenZeroShot(self._script, pattern, self._facts)

    def _answer(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            if len(args) > 1 or "candidate_labels" in kwargs:
                raise ValueError(f"unexpected arguments {args}: pass candidate_labels only once")
            kwargs = {**kwargs, "candidate_labels": args[0]}
        return self._run(sequences, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        parameters = {
            name: kwargs[name]
            for name in ("candidate_labels", "hypothesis_template", "multi_label")
            if name in kwargs
        }
        labels = parameters.get("candidate_labels")
        if isinstance(labels, str):
            parameters["candidate_labels"] = [label.strip() for label in labels.split(",") if label.strip()]
        return parameters

    def _one(
        self,
        item: Any,
        /,
        *,
        candidate_labels: Any = None,
        hypothesis_template: str = _TEMPLATE,
        multi_label: Any = False,
    ) -> dict[str, Any]:
        if len(candidate_labels) == 0 or len(item) == 0:
            raise ValueError("there must be at least one candidate label and one text")
        if hypothesis_template.format(candidate_labels[0]) == hypothesis_template:
            raise ValueError(f"hypothesis_template {hypothesis_template!r} has no place for a label: write {{}}")
        sequences = [item] if isinstance(item, str) else item
        pairs = [(text, hypothesis_template.format(label)) for text in sequences for label in candidate_labels]
        asked = list(zip(candidate_labels, pairs, strict=False))
        for _, pair in asked:
            check_positions(self._facts, self._width(list(pair)))
        first = sequences[0]
        scores = self._scores(first, asked, is_independent=bool(multi_label) or len(asked) == 1)
        order = sorted(range(len(scores)), key=lambda index: (scores[index], index), reverse=True)
        return {
            "sequence": first,
            "labels": [asked[index][0] for index in order],
            "scores": [scores[index] for index in order],
        }

    def _width(self, pair: list[str]) -> int:
        """Return the number of tokens of a text with its hypothesis. Only the text is truncated."""
        layout: dict[str, Any] = {"return_tensors": "pt", "padding": True}
        try:
            return tokenize(self._tokenizer_of_model(), [pair], truncation="only_first", **layout).width
        except Exception as error:
            if "too short" not in str(error):
                raise
            # The hypothesis alone is too long, so the real pipeline truncates nothing.
            return tokenize(self._tokenizer_of_model(), [pair], **layout).width

    def _scores(self, text: str, asked: list[tuple[Any, tuple[str, str]]], *, is_independent: bool) -> list[float]:
        if self.entailment_id >= len(self._facts.labels):
            raise IndexError(
                f"label2id contains {self.entailment_id}, but the model has {len(self._facts.labels)} labels"
            )
        outputs = [self._entailment(pair) for _, pair in asked]
        if is_independent and len(self._facts.labels) == 1:
            outputs = [0.0] * len(asked)  # the same output is used for entailment and contradiction
        scores = seeded.sigmoid(outputs) if is_independent else seeded.softmax(outputs)
        label, score = (self._script.find((text,)) if self._script.rules else None) or (None, 0.0)
        chosen = next((index for index, (candidate, _) in enumerate(asked) if candidate == label), None)
        if chosen is None:
            return scores
        rest = scores if is_independent else [(1 - score) / max(1, len(asked) - 1)] * len(asked)
        return [score if index == chosen else other for index, other in enumerate(rest)]

    @property
    def entailment_id(self) -> int:
        """The index of the output for entailment. If no label is called that, -1: the last output."""
        labels = self._facts.label2id or {}
        return next((index for label, index in labels.items() if label.lower().startswith("entail")), -1)

    def _entailment(self, pair: tuple[str, str]) -> float:
        [unit] = seeded.units(1, self._facts.name, *pair)
        unit = min(max(unit, 1e-6), 1 - 1e-6)
        return 2 * math.log(unit / (1 - unit))  # from about -28 to 28, mostly between -6 and 6
