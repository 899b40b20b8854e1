"""The fake of `FeatureExtractionPipeline` (`transformers/pipelines/feature_extraction.py`, 5.24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.model.facts import ModelFacts
from modelenv.fakes.scripting import Pattern, Script, When
from modelenv.fakes.tensors import as_tensor
from modelenv.fakes.text.tokenized_inputs import Batch, check_positions, tokenize

_WIDTHS = ("hidden_size", "d_model", "dim", "n_embd", "emb_dim")  # the names of the width of hidden states in configs
_DEFAULT_WIDTH = 768
_NEED_A_DECODER = frozenset(
    """
    blenderbot blenderbot-small longt5 m2m_100 marian mt5 pegasus pegasus_x switch_transformers t5 umt5
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
_CONTEXT_SHARE = 0.3  # this share of a token's vector depends on the whole text, the rest on the token


class WhenEmbedded(When):
    """A rule for a feature extractor."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts, width: int) -> None:
        super().__init__(script, pattern)
        self._facts = facts
        self._width = width

    def returns(self, vector: Sequence[float]) -> None:
        """Answer every matching text with `vector` for each token, so that the mean is also `vector`.

        Raises:
            ConfigurationError: The vector does not have the model's width, or not all of its values are numbers.
        """
        numbers = [value for value in vector if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if len(numbers) != len(vector) or len(numbers) != self._width:
            raise ConfigurationError(
                "this vector cannot come from the model",
                model=self._facts.name,
                expected=f"{self._width} numbers",
                found=f"{len(vector)} values, of which {len(numbers)} are numbers",
                hint="if the model has another width, pass config={'hidden_size': …}, or the model's folder",
            )
        self._add([float(value) for value in numbers])


class FakeFeatureExtractionPipeline(FakePipeline):
    """Returns a vector of the model's width for each token. The answer to a text has the shape [1, tokens, width].

    The vectors are derived from a hash of the model's name, the token and the text, so texts with common words are
    closer to each other than texts without. With the model's folder, the number of tokens is exact.
    """

    __slots__ = ()
    _pads_batches = True

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the width of BERT and many other models."""
        return {"hidden_size": _DEFAULT_WIDTH}

    def when(self, pattern: Pattern) -> WhenEmbedded:
        """Start a rule: `fake.when("crash").returns([0.1] * 768)`.

        Raises:
            ConfigurationError: The pattern is not a text, a regular expression or a function.
        """
        return WhenEmbedded(self._script, pattern, self._facts, self._width)

    @property
    def _width(self) -> int:
        config = self._facts.config
        kind, text = config.get("model_type"), config.get("text_config")
        if kind == "opt" and config.get("word_embed_proj_dim") is not None:
            return int(config["word_embed_proj_dim"])
        places = (config, text if isinstance(text, Mapping) else {})
        found = (place[name] for place in places for name in _WIDTHS if place.get(name) is not None)
        return int(next(found, _DEFAULT_WIDTH)) * (2 if kind == "reformer" else 1)  # it joins two streams

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        parameters = dict(kwargs.get("tokenize_kwargs") or {})
        if kwargs.get("truncation") is not None:
            if "truncation" in parameters:
                raise ValueError("truncation is passed twice: as an argument, and in tokenize_kwargs")
            parameters["truncation"] = kwargs["truncation"]
        if kwargs.get("return_tensors") is not None:
            parameters["_is_tensor"] = kwargs["return_tensors"]
        return parameters

    def _one(self, item: Any, /, *, _is_tensor: Any = False, **tokenize_kwargs: Any) -> Any:
        batch = self._tokenize(item, tokenize_kwargs)
        self._check(batch.width)
        return _packed(self._vectors(batch, 0), _is_tensor)

    def _batch(self, items: list[Any], /, *, _is_tensor: Any = False, **tokenize_kwargs: Any) -> list[Any]:
        """Answer a batch. As in the real pipeline, every text has as many tokens as the longest."""
        batches = [self._tokenize(item, tokenize_kwargs) for item in items]
        width = max(batch.width for batch in batches)
        self._check(width)
        return [_packed(self._vectors(batch, width)[:1], _is_tensor) for batch in batches]

    def _check(self, width: int) -> None:
        kind = self._facts.config.get("model_type")
        if kind == "perceiver":
            raise TypeError("a perceiver model needs inputs other than tokens")
        if kind in _NEED_A_DECODER:
            raise ValueError(f"a {kind} model needs input for its decoder, which this pipeline does not provide")
        check_positions(self._facts, width)

    def _tokenize(self, item: Any, tokenize_kwargs: Mapping[str, Any]) -> Batch:
        return tokenize(self._tokenizer_of_model(), item, return_tensors="pt", **tokenize_kwargs)

    def _vectors(self, batch: Batch, width: int) -> list[list[list[float]]]:
        return [self._row(batch.texts[min(index, len(batch.texts) - 1)], row.tokens, width)
                for index, row in enumerate(batch.rows)]  # fmt: skip

    def _row(self, texts: tuple[str, ...], tokens: Sequence[str], width: int) -> list[list[float]]:
        padded = [*tokens, *["[PAD]"] * (width - len(tokens))]
        scripted = self._script.find(texts) if self._script.rules else None
        if scripted is not None:
            return [list(scripted) for _ in padded]
        name = self._facts.name
        context = seeded.units(self._width, name, *texts)
        own = {token: seeded.units(self._width, name, "token", token) for token in {*padded}}
        return [
            [
                2 * ((1 - _CONTEXT_SHARE) * unit + _CONTEXT_SHARE * shared) - 1
                for unit, shared in zip(own[token], context, strict=True)
            ]
            for token in padded
        ]


def _packed(vectors: list[list[list[float]]], is_tensor: Any) -> Any:
    if not is_tensor:
        return vectors
    import numpy as np

    return as_tensor(np.array(vectors, dtype=np.float32))
