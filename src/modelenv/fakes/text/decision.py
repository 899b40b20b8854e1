"""The fake of `DecisionPipeline` (`transformers/pipelines/decision.py`, 5.24)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.model.chat_templates import read_template
from modelenv.fakes.scripting import Pattern, When
from modelenv.fakes.text.questions import Question, read_request

_DEFAULT_PROBABILITY = 0.95


class WhenAsked(When):
    """A rule for a decision model."""

    def returns(self, question: str, option: str | int | bool, probability: float = _DEFAULT_PROBABILITY) -> None:
        """Answer `question` (its name) with `option` for every matching state.

        Args:
            question: The name of the question in the request. The rule does not affect other questions.
            option: The key of a choice, the level of a score, or True or False for a noul.
            probability: The probability of the option. The other options share the rest evenly.

        Raises:
            ConfigurationError: The probability is not in [0, 1].
        """
        if isinstance(probability, bool) or not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
            raise ConfigurationError(
                f"the probability of {option!r} is not valid",
                expected="a number from 0 to 1",
                found=repr(probability),
                hint='write fake.when("refund").returns("refund", True, 0.9)',
            )
        name = str(option).lower() if isinstance(option, bool) else str(option)
        self._add((question, name, float(probability)))


class FakeDecisionPipeline(FakePipeline):
    """Answers typed questions about a state, with probabilities derived from a hash of the model's name and both."""

    __slots__ = ("_decision_config",)
    _pads_batches = True

    def __init__(self, task: str, facts: Any, pipeline_kwargs: Mapping[str, Any]) -> None:
        kwargs = dict(pipeline_kwargs)
        given = kwargs.pop("decision_config", None)
        # A config object of transformers has the same names. A path or the name of another repo is not read.
        self._decision_config = (
            dict(vars(given)) if hasattr(given, "noul_options") else facts.read_file("decision.json")
        )
        super().__init__(task, facts, kwargs)

    def when(self, pattern: Pattern) -> WhenAsked:
        """Start a rule: `fake.when("charged twice").returns("refund", True, 0.9)`.

        Args:
            pattern: A part of the state (as JSON, if it is not a text), a regular expression, or a function of it.

        Raises:
            ConfigurationError: The pattern is none of these.
        """
        return WhenAsked(self._script, pattern)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._sanitized(**kwargs)

    def _sanitized(self) -> dict[str, Any]:
        return {}  # the real pipeline accepts no arguments, and raises TypeError for any

    def _one(self, item: Any, /, **_: Any) -> dict[str, Any]:
        state, questions = read_request(item, self._decision_config)
        if self._facts.folder is not None and read_template(self._facts) is None:
            raise ValueError("the tokenizer has no chat template, so it cannot render a question")
        text = state if isinstance(state, str) else json.dumps(state, ensure_ascii=False)
        return {question.name: question.answer(self._probabilities(text, question)) for question in questions}

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        self._singly(items, **parameters)
        # The real pipeline cannot join the questions of several requests.
        raise ValueError("a decision pipeline does not support batches: leave out batch_size")

    def _probabilities(self, state: str, question: Question) -> list[float]:
        number = len(question.options)
        rule = self._script.find((state,)) if self._script.rules else None
        if rule is not None and rule[0] == question.name and rule[1] in question.options:
            rest = 0.0 if number == 1 else (1 - rule[2]) / (number - 1)
            return [rule[2] if option == rule[1] else rest for option in question.options]
        about = json.dumps([question.name, question.options, question.descriptions], ensure_ascii=False, default=str)
        return seeded.softmax(seeded.logits(number, self._facts.name, state, about))
