"""Checks and answers the questions of a decision request, like `transformers/decision` (5.24)."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("noul", "choice", "score")
_KEYS = frozenset({"type", "instructions", "criteria"})


@dataclass(frozen=True)
class Question:
    """One question of a request.

    Attributes:
        name: The name of the question, which is the key of its answer.
        kind: `noul` (true or false), `choice` or `score`.
        options: The keys of a choice, the levels of a score from "0", or "true" and "false" for a noul.
        descriptions: The descriptions of the options.
    """

    name: str
    kind: str
    options: tuple[str, ...]
    descriptions: tuple[Any, ...]

    def answer(self, probabilities: Sequence[float]) -> dict[str, Any]:
        """Return the answer for these probabilities of the options."""
        by_option = dict(zip(self.options, probabilities, strict=True))
        if self.kind == "noul":
            return {"type": "noul", "noul": by_option["true"]}
        number = len(self.options)
        best = max(range(number), key=probabilities.__getitem__)
        if self.kind == "choice":
            sure = 1.0 if number == 1 else max(0.0, (probabilities[best] - 1 / number) / (1 - 1 / number))
            return {
                "type": "choice",
                "choice": self.options[best],
                "confidence": sure,
                "probabilities": by_option,
            }
        levels = list(enumerate(probabilities))
        distance = sum(probability * abs(level - best) for level, probability in levels)
        even = sum(abs(level - (number - 1) / 2) for level in range(number)) / number
        return {
            "type": "score",
            "score": sum(level * probability for level, probability in levels),
            "legend": dict(zip(self.options, self.descriptions, strict=True)),
            "confidence": 1.0 if number == 1 else max(0.0, 1 - distance / even),
            "probabilities": by_option,
        }


def read_request(request: Any, config: Mapping[str, Any]) -> tuple[Any, list[Question]]:
    """Return the state and the questions of a request, or of its JSON.

    Args:
        request: `{"state": …, "questions": {name: question}}`.
        config: The content of the model's `decision.json`, or an empty mapping.

    Raises:
        ValueError: The request or a question is not valid.
    """
    if isinstance(request, str):
        request = json.loads(request)
    if not isinstance(request, dict) or "questions" not in request or "state" not in request:
        raise ValueError('a request must be {"state": …, "questions": {name: question, …}}, as a dict or as JSON')
    questions = request["questions"]
    if not isinstance(questions, dict) or not questions:
        raise ValueError(f"questions must map names to at least one question, found {questions!r}")
    read = [_question(name, question, config) for name, question in questions.items()]
    if request.get("assets"):
        raise ValueError("images need a model whose processor accepts images")
    return request["state"], read


def _question(name: str, question: Any, config: Mapping[str, Any]) -> Question:
    kind = question.get("type") if isinstance(question, dict) else None
    if kind not in KINDS:
        raise ValueError(f"question {name!r}: the type must be one of {', '.join(KINDS)}, found {kind!r}")
    criteria = question.get("criteria")
    unknown = sorted(map(str, question.keys() - _KEYS))
    if unknown or not _is_content(question.get("instructions")) or not _fits(kind, criteria):
        raise ValueError(f"question {name!r}: not a valid {kind} question: {question!r}")
    if kind == "noul":
        options = tuple(config.get("noul_options", ("true", "false")))
        descriptions = tuple((criteria or {}).get(option) for option in options)
    elif kind == "score":
        options, descriptions = tuple(map(str, range(len(criteria)))), tuple(criteria)
    else:
        options, descriptions = tuple(criteria), tuple(criteria.values())
    labels = config.get("labels", {}).get(kind) or (("Yes", "No") if kind == "noul" else string.ascii_uppercase)
    if len(labels) < len(options):
        raise ValueError(f"question {name!r}: the model supports at most {len(labels)} options, found {len(options)}")
    return Question(name, kind, options, descriptions)


def _fits(kind: str, criteria: Any) -> bool:
    if kind == "score":
        return (
            isinstance(criteria, list)
            and bool(criteria)
            and all(isinstance(level, (str, dict, list)) for level in criteria)
        )
    if kind == "noul" and criteria is None:
        return True
    is_map = isinstance(criteria, dict) and all(
        isinstance(key, str) and _is_content(value) for key, value in criteria.items()
    )
    return is_map and (criteria.keys() <= {"true", "false"} if kind == "noul" else bool(criteria))


def _is_content(value: Any) -> bool:
    return value is None or isinstance(value, (str, dict, list))
