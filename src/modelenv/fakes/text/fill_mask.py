"""The fake of `FillMaskPipeline` (`transformers/pipelines/fill_mask.py`, 5.24)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline, pipeline_exception
from modelenv.fakes.model.facts import ModelFacts
from modelenv.fakes.model.shown_tokenizer import FakeTokenizer
from modelenv.fakes.model.text_tokenizers import Row, TextTokenizer
from modelenv.fakes.scripting import Pattern, Script, When
from modelenv.fakes.text.tokenized_inputs import check_positions, tokenize

_MASKS = ("[MASK]", "<mask>")
_SHARPNESS = 10  # of the distribution: the most likely of a few hundred tokens has a probability of 0.1 or more
_DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class _Scripted:
    token: int
    score: float


class WhenFilled(When):
    """A rule for the token that fills a mask."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts, tokenizer: TextTokenizer) -> None:
        super().__init__(script, pattern)
        self._facts = facts
        self._tokenizer = tokenizer

    def returns(self, token: str, score: float) -> None:
        """Fill every mask of every matching text with `token`, as the most likely answer.

        The other answers of a call share the rest of the probability. A call with `targets` returns the scores of
        these tokens, so the rule has no effect unless `token` is among them.

        Raises:
            ConfigurationError: The model's vocabulary does not contain the token, or the score is not in [0, 1].
        """
        index = self._tokenizer.id_of(token)
        if index is None:
            raise ConfigurationError(
                f"the model's vocabulary has no token {token!r}",
                model=self._facts.name,
                expected="a single token, as in token_str",
                hint="use a shorter or more common word",
            )
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise ConfigurationError(
                f"the score of {token!r} cannot come from this model",
                model=self._facts.name,
                expected="a number from 0 to 1",
                found=repr(score),
                hint="the scores of tokens are probabilities",
            )
        self._add(_Scripted(index, float(score)))


class FakeFillMaskPipeline(FakePipeline):
    """Fills masks with tokens of the model's vocabulary, chosen by a hash of the model's name and the text.

    Without the model's folder, the tokens are plain English words, and both `[MASK]` and `<mask>` are masks.
    """

    __slots__ = ()
    _pads_batches = True

    def when(self, pattern: Pattern) -> WhenFilled:
        """Start a rule: `fake.when("capital of France").returns("Paris", 0.9)`.

        Raises:
            ConfigurationError: The pattern is not a text, a regular expression or a function.
        """
        return WhenFilled(self._script, pattern, self._facts, self._tokenizer_of_model())

    @property
    def tokenizer(self) -> FakeTokenizer:
        """The tokenizer in the model's folder, or one of words. Texts for the fake contain its `mask_token`."""
        return FakeTokenizer(self._tokenizer_of_model(), self._facts)

    def _answer(self, inputs: Any, **kwargs: Any) -> Any:
        answers = self._run(inputs, **kwargs)
        return answers[0] if isinstance(inputs, list) and len(inputs) == 1 else answers

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._sanitized(**kwargs)

    def _sanitized(self, top_k: Any = None, targets: Any = None, tokenizer_kwargs: Any = None) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        if tokenizer_kwargs is not None:
            parameters["tokenizer_kwargs"] = tokenizer_kwargs
        if targets is not None:
            parameters["targets"] = self._target_ids(targets)
        if top_k is not None:
            parameters["top_k"] = top_k
        if "mask_token" not in self._tokenizer_of_model().special:
            raise pipeline_exception("fill-mask", self._facts.name, "the tokenizer has no mask token")
        return parameters

    def _target_ids(self, targets: Any) -> list[int]:
        tokenizer = self._tokenizer_of_model()
        found: list[int] = []
        for target in [targets] if isinstance(targets, str) else targets:
            index = tokenizer.id_of(target)
            if index is None:
                batch = tokenize(
                    tokenizer, target, return_tensors=None, add_special_tokens=False, max_length=1, truncation=True
                )
                if not batch.rows[0].ids:
                    continue
                index = batch.rows[0].ids[0]
            found.append(index)
        if not found:
            raise ValueError("targets must contain at least one token")
        return list(set(found))

    def _one(
        self,
        item: Any,
        /,
        *,
        top_k: Any = _DEFAULT_TOP_K,
        targets: list[int] | None = None,
        tokenizer_kwargs: Any = None,
    ) -> Any:
        tokenizer = self._tokenizer_of_model()
        batch = tokenize(tokenizer, item, return_tensors="pt", **(tokenizer_kwargs or {}))
        masks = {tokenizer.id_of_special("mask_token")}
        if self._facts.folder is None:
            masks |= {tokenizer.id_of(mask) for mask in _MASKS}
        if not all(masks & set(row.ids) for row in batch.rows):
            mask = tokenizer.special["mask_token"]
            raise pipeline_exception("fill-mask", self._facts.name, f"the input has no mask token: write {mask}")
        check_positions(self._facts, batch.width)
        if targets is not None and len(targets) < top_k:
            top_k = len(targets)
        scripted = self._script.find(batch.texts[0]) if self._script.rules else None
        row = batch.rows[0]
        places = [place for place, index in enumerate(row.ids) if index in masks]
        answers = [
            self._ranked(row, place, self._likeliest((*batch.texts[0], str(number)), scripted, top_k, targets),
                         skip_special=len(places) == 1)
            for number, place in enumerate(places)
        ]  # fmt: skip
        return answers[0] if len(answers) == 1 else answers

    def _ranked(
        self, row: Row, place: int, likeliest: Sequence[tuple[float, int]], *, skip_special: bool
    ) -> list[dict[str, Any]]:
        tokenizer = self._tokenizer_of_model()
        padding = tokenizer.id_of_special("pad_token")
        answers = []
        for score, token in likeliest:
            ids = [token if index == place else other for index, other in enumerate(row.ids)]
            sequence = tokenizer.decode([index for index in ids if index != padding], skip_special=skip_special)
            answers.append(
                {"score": score, "token": token, "token_str": tokenizer.decode([token]), "sequence": sequence}
            )
        return answers

    def _likeliest(
        self, texts: tuple[str, ...], scripted: _Scripted | None, top_k: Any, targets: list[int] | None
    ) -> list[tuple[float, int]]:
        """Return the `top_k` most likely tokens, or those of `targets`, with their scores."""
        if type(top_k) is not int:
            raise TypeError(f"top_k must be a whole number, found {top_k!r}")
        scores = self._distribution(texts, scripted)
        if targets is not None:
            scores = {token: scores.get(token, 0.0) for token in targets}
        if not 0 <= top_k <= len(scores):
            raise RuntimeError(f"top_k must be from 0 to {len(scores)}, the number of tokens, found {top_k}")
        ranked = sorted(scores.items(), key=lambda pair: pair[1], reverse=True)[:top_k]
        return [(score, token) for token, score in ranked]

    def _distribution(self, texts: tuple[str, ...], scripted: _Scripted | None) -> dict[int, float]:
        """Return the probability of every token. Special tokens fill a mask only after all others."""
        tokenizer = self._tokenizer_of_model()
        choices = list(tokenizer.choices())
        draws = seeded.units(len(choices), self._facts.name, *texts)
        highest = max(draws)
        weights = [math.exp(_SHARPNESS * (draw - highest)) for draw in draws]
        total = sum(weights)
        scores = {token: weight / total for token, weight in zip(choices, weights, strict=True)}
        if self._facts.folder is not None:
            scores |= {token: 0.0 for token in range(tokenizer.size()) if token not in scores}
        if scripted is None:
            return scores
        # The scripted token comes first even if its score is small. The others share the rest, with lower scores.
        rest = 1 - scores.get(scripted.token, 0.0)
        scale = min((1 - scripted.score) / rest, scripted.score / max(scores.values()))
        return {**{token: score * scale for token, score in scores.items()}, scripted.token: scripted.score}
