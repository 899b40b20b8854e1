"""Joins tokens with scores to entities, like `TokenClassificationPipeline` of transformers 5.24."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STRATEGIES = ("NONE", "SIMPLE", "FIRST", "AVERAGE", "MAX")


@dataclass(frozen=True)
class ScoredToken:
    """One token: its text, the probability of each label, its offsets (None: not known), its index in the row."""

    word: str
    scores: Sequence[float]
    start: int | None
    end: int | None
    index: int
    is_subword: bool

    @property
    def best(self) -> int:
        """The index of the most likely label."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)


@dataclass(frozen=True)
class Joiner:
    """Joins tokens by one of the aggregation strategies.

    Attributes:
        labels: The model's labels.
        join: Returns the text of tokens.
        number: Converts a float to a score, such as `numpy.float32`.
    """

    labels: Sequence[str]
    join: Callable[[Sequence[str]], str]
    number: Callable[[float], Any]

    def entities(self, tokens: Sequence[ScoredToken], strategy: str) -> list[dict[str, Any]]:
        """Return the entities of the tokens according to `strategy`, for all labels."""
        if strategy in ("NONE", "SIMPLE"):
            found = [self._plain(token) for token in tokens]
        else:
            found = [self._word(group, strategy) for group in _words(tokens)]
        return found if strategy == "NONE" else self._grouped(found)

    def _plain(self, token: ScoredToken) -> dict[str, Any]:
        return {
            "entity": self.labels[token.best],
            "score": self.number(token.scores[token.best]),
            "index": token.index,
            "word": token.word,
            "start": token.start,
            "end": token.end,
        }

    def _word(self, tokens: list[ScoredToken], strategy: str) -> dict[str, Any]:
        if strategy not in STRATEGIES:
            raise ValueError(
                f"aggregation_strategy must be one of {', '.join(STRATEGIES).lower()}, found {strategy!r}"
            )
        if strategy == "FIRST":
            scores = tokens[0].scores
        elif strategy == "MAX":
            scores = max(tokens, key=lambda token: max(token.scores)).scores
        else:
            columns = zip(*(token.scores for token in tokens), strict=True)
            scores = [sum(column) / len(tokens) for column in columns]
        best = max(range(len(scores)), key=scores.__getitem__)
        return {
            "entity": self.labels[best],
            "score": self.number(scores[best]),
            "word": self.join([token.word for token in tokens]),
            "start": tokens[0].start,
            "end": tokens[-1].end,
        }

    def _grouped(self, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
        groups: list[list[dict[str, Any]]] = []
        for entity in entities:
            begins, tag = _tag(entity["entity"])
            if groups and not begins and _tag(groups[-1][-1]["entity"])[1] == tag:
                groups[-1].append(entity)
            else:
                groups.append([entity])
        return [self._group(group) for group in groups]

    def _group(self, entities: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "entity_group": entities[0]["entity"].split("-", 1)[-1],
            "score": self.number(sum(float(entity["score"]) for entity in entities) / len(entities)),
            "word": self.join([entity["word"] for entity in entities]),
            "start": entities[0]["start"],
            "end": entities[-1]["end"],
        }


def _words(tokens: Sequence[ScoredToken]) -> list[list[ScoredToken]]:
    words: list[list[ScoredToken]] = []
    for token in tokens:
        if words and token.is_subword:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _tag(label: str) -> tuple[bool, str]:
    """Return whether a label starts an entity, and its tag. A label without B- or I- continues an entity."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label


def without_overlaps(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entities of overlapping chunks of a text. Of two that overlap, keep the longer or likelier one."""
    kept: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        if kept and kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            if _weight(entity) > _weight(kept[-1]):
                kept[-1] = entity
        else:
            kept.append(entity)
    return kept


def _weight(entity: Mapping[str, Any]) -> tuple[int, Any]:
    return entity["end"] - entity["start"], entity["score"]


def continues_word(sentence: str, start: int, strategy: str) -> bool:
    """Whether a token continues a word, for tokenizers that do not mark it: there is no space before the token.

    Warns:
        UserWarning: The strategy joins words. The real pipeline warns too.
    """
    if strategy in ("FIRST", "AVERAGE", "MAX"):
        warnings.warn("the tokenizer does not mark words, so they are split at spaces", UserWarning, stacklevel=2)
    return start > 0 and " " not in sentence[start - 1 : start + 1]
