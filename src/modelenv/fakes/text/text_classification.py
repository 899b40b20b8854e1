"""The fake of `TextClassificationPipeline` (`transformers/pipelines/text_classification.py`, 5.24)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.scripting import Pattern, Script, When
from modelenv.fakes.text.tokenized_inputs import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.fakes.model.facts import ModelFacts

# The labels of distilbert-base-uncased-finetuned-sst-2-english, transformers' default model for the task.
DEFAULT_LABELS = ("NEGATIVE", "POSITIVE")
SENTIMENT_LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")

# The prefixes of the kinds of decoders whose config has no padding token by default.
_DECODERS = ("ctrl", "deepseek", "falcon", "gpt", "llama", "mistral", "mixtral", "openai-gpt", "persimmon", "phi",
             "qwen", "stablelm", "starcoder")  # fmt: skip
# The names of `ClassificationFunction`. "default", which is documented too, raises KeyError there.
_FUNCTIONS = MappingProxyType({"SIGMOID": seeded.sigmoid, "SOFTMAX": seeded.softmax, "NONE": list})


@dataclass(frozen=True)
class _Scripted:
    index: int
    score: float


class WhenClassified(When):
    """A rule for a text classifier."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, label: str, score: float) -> None:
        """Answer every matching text with `label` and `score`, in the structure of the call form.

        If a call requests several labels, the others share the rest of the probability evenly, and the answer is
        sorted. For a regression model the others get 0.0, and `score` can be any finite number. A call for one label
        returns this label, even if its score is not the highest. `function_to_apply` does not change the score.

        Raises:
            ConfigurationError: The model has no such label, or the score is not in [0, 1].
        """
        labels = self._facts.labels
        if label not in labels:
            raise ConfigurationError(
                f"the model has no label {label!r}",
                model=self._facts.name,
                expected="one of " + ", ".join(map(str, labels)),
                hint="if the model has other labels, pass config={'id2label': {…}}, or the model's folder",
            )
        regression = self._facts.problem_type == "regression"
        number = isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score)
        if not number or not (regression or 0 <= score <= 1):
            raise ConfigurationError(
                f"the score of {label!r} cannot come from this model",
                model=self._facts.name,
                expected="a finite number" if regression else "a number from 0 to 1",
                found=repr(score),
                hint="a classifier's scores are probabilities",
            )
        self._add(_Scripted(labels.index(label), float(score)))


class FakeTextClassificationPipeline(FakePipeline):
    """Classifies text with scores derived from a hash of the model's name and the text.

    One label is the clear winner: its softmax score is between 0.73 and 1. The fake has the oddities of the real
    pipeline: the answer to a single text without `top_k` in the call is in a list, but not the answer to a single
    dict; `return_all_scores` is ignored; an empty list raises IndexError.
    """

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the labels of the task's default model, and additionally NEUTRAL for `sentiment`."""
        return {"id2label": dict(enumerate(SENTIMENT_LABELS if task == "sentiment" else DEFAULT_LABELS))}

    def when(self, pattern: Pattern) -> WhenClassified:
        """Start a rule: `fake.when("crash").returns("NEGATIVE", 0.97)`.

        Args:
            pattern: A part of the text (case-sensitive), a compiled regular expression to search for, or a function
                of the text. A pair matches if either text does. The later of two matching rules wins.

        Raises:
            ConfigurationError: The pattern is none of these.
        """
        return WhenClassified(self._script, pattern, self._facts)

    def _answer(self, inputs: Any, **kwargs: Any) -> Any:
        result = self._run(inputs, **kwargs)
        # As in the real pipeline, only `top_k` in this call matters, not the one that the pipeline was built with.
        return [result] if isinstance(inputs, str) and "top_k" not in kwargs else result

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        parameters = dict(kwargs)
        top_k = parameters.pop("top_k", "")
        if top_k is None or isinstance(top_k, int):
            parameters |= {"top_k": top_k, "_legacy": False}
        function = parameters.pop("function_to_apply", None)
        if isinstance(function, str):
            if function.upper() not in _FUNCTIONS:
                raise KeyError(f"function_to_apply must be sigmoid, softmax or none, found {function!r}")
            parameters["function_to_apply"] = _FUNCTIONS[function.upper()]
        elif function is not None:
            parameters["function_to_apply"] = function
        return parameters

    def _one(
        self,
        item: Any,
        /,
        *,
        top_k: int | None = 1,
        _legacy: bool = True,
        function_to_apply: Any = None,
        **tokenizer_kwargs: Any,
    ) -> Any:
        texts = read_text(item, tokenizer_kwargs, self._tokenizer_of_model, self._facts)
        function = self._default_function() if function_to_apply is None else function_to_apply
        if function not in _FUNCTIONS.values():
            raise ValueError(f"function_to_apply must be sigmoid, softmax or none, found {function!r}")
        scripted = self._script.find(texts) if self._script.rules else None
        if scripted is None:
            scores = function(seeded.logits(len(self._facts.labels), self._facts.name, *texts))
            best = max(range(len(scores)), key=scores.__getitem__)
        else:
            scores, best = self._scripted_scores(scripted), scripted.index
        return self._structure(scores, best, top_k, _legacy)

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Answer a batch. A decoder classifies by the last token of each text, which it finds by the padding."""
        config = self._facts.config
        kind = str(config.get("model_type"))
        if len(items) > 1 and kind.startswith(_DECODERS) and config.get("pad_token_id") is None:
            raise ValueError("the model's config has no pad_token_id, so it does not support batches")
        return self._singly(items, **parameters)

    def _structure(self, scores: Sequence[float], best: int, top_k: int | None, legacy: bool) -> Any:
        labels = self._facts.labels
        if top_k == 1:  # a scripted answer applies even if its score is not the highest
            answer = {"label": labels[best], "score": scores[best]}
            return answer if legacy else [answer]
        answers: list[dict[str, Any]] = [
            {"label": label, "score": score} for label, score in zip(labels, scores, strict=True)
        ]
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        return answers[:top_k]

    def _default_function(self) -> Any:
        if self._facts.problem_type == "regression":
            return list
        if self._facts.problem_type == "multi_label_classification" or len(self._facts.labels) == 1:
            return seeded.sigmoid
        return seeded.softmax

    def _scripted_scores(self, scripted: _Scripted) -> list[float]:
        number = len(self._facts.labels)
        regression = self._facts.problem_type == "regression"
        rest = 0.0 if regression or number == 1 else (1 - scripted.score) / (number - 1)
        return [scripted.score if index == scripted.index else rest for index in range(number)]
