"""The fake of `TokenClassificationPipeline` (`transformers/pipelines/token_classification.py`, 5.24)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from types import GeneratorType
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import _is_instance as is_instance
from modelenv.fakes.chunked import FakeChunkPipeline
from modelenv.fakes.model.facts import ModelFacts
from modelenv.fakes.model.text_tokenizers import Row
from modelenv.fakes.scripting import Pattern, Script, When
from modelenv.fakes.text.entities import STRATEGIES, Joiner, ScoredToken, continues_word, without_overlaps
from modelenv.fakes.text.tokenized_inputs import check_positions, tokenize

# The labels of dbmdz/bert-large-cased-finetuned-conll03-english, transformers' default model for the task.
_LABELS = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
_PLAIN_LABEL = "O"
_OF_WORDS = ("FIRST", "AVERAGE", "MAX")  # the strategies that join the tokens of a word


class WhenTagged(When):
    """A rule for a token classifier."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, entities: Mapping[str, str], score: float = 0.99) -> None:
        """Tag parts of every matching text: `returns({"Sarah": "PER", "New York": "LOC"})`. The rest gets `O`.

        Each occurrence of a part is tagged. A tag without `B-` or `I-` gets the prefix if the model's labels have it.

        Raises:
            ConfigurationError: The model has no such label, or the score is not in (0, 1].
        """
        for tag in entities.values():
            if not any(_bare(label) == _bare(tag) for label in self._facts.labels):
                raise ConfigurationError(
                    f"the model has no label {tag!r}",
                    model=self._facts.name,
                    expected="one of " + ", ".join(map(str, self._facts.labels)),
                    hint="if the model has other labels, pass config={'id2label': {…}}, or the model's folder",
                )
        if (
            isinstance(score, bool)
            or not isinstance(score, (int, float))
            or not 1 / len(self._facts.labels) < score <= 1
        ):
            raise ConfigurationError(
                "the score is too low or too high for the most likely label",
                model=self._facts.name,
                expected=f"a number greater than 1/{len(self._facts.labels)} (the number of labels), up to 1",
                found=repr(score),
                hint="the scores of labels are probabilities",
            )
        self._add((dict(entities), float(score)))


class FakeTokenClassificationPipeline(FakeChunkPipeline):
    """Tags tokens: capitalised words mostly as entities, others mostly as `O`.

    The offsets are those of the tokens in the text. With the model's folder, the tokens are those of its tokenizer.
    Without, each word and each punctuation mark is a token. If numpy is installed, scores are `numpy.float32`, as in
    the real pipeline.
    """

    __slots__ = ()
    _pads_batches = True

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the labels of the task's default model."""
        return {"id2label": dict(enumerate(_LABELS))}

    def when(self, pattern: Pattern) -> WhenTagged:
        """Start a rule: `fake.when("Sarah").returns({"Sarah": "PER"}, 0.98)`.

        Raises:
            ConfigurationError: The pattern is not a text, a regular expression or a function.
        """
        return WhenTagged(self._script, pattern, self._facts)

    def _answer(self, inputs: Any, **kwargs: Any) -> Any:
        is_split, offsets = kwargs.get("is_split_into_words", False), kwargs.get("offset_mapping")
        _check_inputs(inputs, offsets)
        kwargs = {**kwargs, "is_split_into_words": is_split, "delimiter": kwargs.get("delimiter")}
        if is_split and not all(isinstance(item, list) for item in inputs):
            return self._run([inputs], **kwargs)
        if offsets and isinstance(offsets[0], tuple):
            kwargs["offset_mapping"] = [offsets]
        return self._run(inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._sanitized(**kwargs)

    def _sanitized(
        self,
        ignore_labels: Any = None,
        aggregation_strategy: Any = None,
        offset_mapping: Any = None,
        is_split_into_words: Any = False,
        stride: int | None = None,
        delimiter: str | None = None,
    ) -> dict[str, Any]:
        parameters: dict[str, Any] = {"is_split_into_words": is_split_into_words}
        if is_split_into_words:
            parameters["delimiter"] = " " if delimiter is None else delimiter
        if offset_mapping is not None:
            parameters["offset_mapping"] = offset_mapping
        strategy = None if aggregation_strategy is None else _strategy(aggregation_strategy)
        if strategy is not None:
            if strategy in _OF_WORDS and self._is_slow:
                raise ValueError(
                    f"aggregation_strategy={strategy.lower()!r} needs a fast tokenizer, which knows words"
                )
            parameters["strategy"] = strategy
        if ignore_labels is not None:
            parameters["ignore_labels"] = ignore_labels
        if stride is not None:
            if stride >= self._tokenizer_of_model().model_max_length:
                raise ValueError("stride must be less than the tokenizer's model_max_length")
            if strategy == "NONE":
                raise ValueError("stride needs an aggregation_strategy other than none")
            if self._is_slow:
                raise ValueError("stride needs a fast tokenizer, which knows the offsets of tokens")
            parameters["stride"] = stride
        return parameters

    @property
    def _is_slow(self) -> bool:
        return not self._tokenizer_of_model().is_fast

    def _one(
        self,
        item: Any,
        /,
        *,
        is_split_into_words: Any = False,
        delimiter: str = " ",
        offset_mapping: Any = None,
        strategy: str = "NONE",
        ignore_labels: Any = (_PLAIN_LABEL,),
        stride: int | None = None,
    ) -> list[dict[str, Any]]:
        if not isinstance(item, list if is_split_into_words else str):
            raise ValueError(  # noqa: TRY004 - the class of the real pipeline
                f"a text must be {'a list of words' if is_split_into_words else 'a string'}, found {item!r}"
            )
        starts = _starts(item, delimiter) if is_split_into_words else None
        sentence = delimiter.join(item) if is_split_into_words else str(item)
        if starts is not None and self._is_slow:
            raise ValueError("is_split_into_words=True needs a fast tokenizer")
        tokenizer = self._tokenizer_of_model()
        kwargs: dict[str, Any] = (
            {} if stride is None else {"return_overflowing_tokens": True, "padding": True, "stride": stride}
        )
        batch = tokenize(
            tokenizer,
            item,
            return_tensors="pt",
            truncation=True,
            is_split_into_words=bool(is_split_into_words),
            **kwargs,
        )
        check_positions(self._facts, batch.width)
        joiner = Joiner(self._facts.labels, tokenizer.join, _score_type())
        found: list[dict[str, Any]] = []
        for row in batch.rows:
            offsets = row.offsets if offset_mapping is None else offset_mapping[0]
            is_blind = self._is_slow and offset_mapping is None
            tokens = self._scored(row, sentence, offsets, starts, strategy, is_blind=is_blind)
            found += [
                entity
                for entity in joiner.entities(tokens, strategy)
                if entity.get("entity") not in ignore_labels and entity.get("entity_group") not in ignore_labels
            ]
        return without_overlaps(found) if len(batch.rows) > 1 else found

    def _scored(
        self, row: Row, sentence: str, offsets: Any, starts: list[int] | None, strategy: str, *, is_blind: bool
    ) -> list[ScoredToken]:
        """Return the tokens with a score for each label. With `is_blind`, they have no offsets."""
        tokenizer = self._tokenizer_of_model()
        unknown = tokenizer.id_of_special("unk_token")
        rule = self._script.find((sentence,)) if self._script.rules else None
        tokens = []
        for index, (token, word) in enumerate(zip(row.tokens, row.words, strict=True)):
            if row.special[index]:
                continue
            start, end = offsets[index]
            if starts is not None and word is not None:
                start, end = start + starts[word], end + starts[word]
            part = sentence[start:end]
            if is_blind:
                is_subword = False
            elif tokenizer.is_wordpiece:
                is_subword = len(token) != len(part)
            else:
                is_subword = continues_word(sentence, start, strategy)
            if row.ids[index] == unknown and not is_blind:
                token, is_subword = part, False  # the real pipeline returns the part of the text
            scores = self._scores(sentence, (start, end), str(word), rule, is_subword=is_subword)
            places = (None, None) if is_blind else (start, end)
            tokens.append(ScoredToken(token, scores, places[0], places[1], index, is_subword))
        return tokens

    def _scores(self, sentence: str, span: tuple[int, int], word: str, rule: Any, *, is_subword: bool) -> list[float]:
        labels = self._facts.labels
        if rule is not None:
            label = _tag_at(sentence, span, rule[0], labels)
            rest = (1 - rule[1]) / max(1, len(labels) - 1)
            return [rule[1] if name == label else rest for name in labels]
        scores = seeded.softmax(seeded.logits(len(labels), self._facts.name, sentence, word))
        best = max(range(len(labels)), key=scores.__getitem__)
        chosen = labels[best]
        looks_named = sentence[span[0] : span[0] + 1].isupper() or is_subword
        if _PLAIN_LABEL in labels and not looks_named:
            chosen = _PLAIN_LABEL
        elif is_subword and chosen.startswith("B-") and "I-" + chosen[2:] in labels:
            chosen = "I-" + chosen[2:]
        other = labels.index(chosen)
        scores[best], scores[other] = scores[other], scores[best]
        return scores


def _check_inputs(inputs: Any, offsets: Any) -> None:
    if isinstance(inputs, (list, tuple)) and len(inputs) > 0:
        number = len(inputs)
    elif isinstance(inputs, str):
        number = 1
    elif is_instance(inputs, "torch.utils.data", "Dataset") or isinstance(inputs, GeneratorType):
        return
    else:
        raise ValueError("pass at least one text")
    if offsets:
        rows = 1 if isinstance(offsets, list) and isinstance(offsets[0], tuple) else len(offsets)
        if rows != number:
            raise ValueError(f"offset_mapping has {rows} rows, but there are {number} texts")


def _strategy(strategy: Any) -> str:
    """Return the name of a strategy, which can be a member of the real enumeration."""
    if isinstance(strategy, str):
        name = str(getattr(strategy, "name", strategy)).upper()
        if name not in STRATEGIES:
            raise KeyError(f"aggregation_strategy must be one of {', '.join(STRATEGIES).lower()}, found {strategy!r}")
        return name
    return str(getattr(strategy, "name", strategy))


def _starts(words: Iterable[str], delimiter: str) -> list[int]:
    starts, place = [], 0
    for word in words:
        starts.append(place)
        place += len(word) + len(delimiter)
    return starts


def _bare(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _tag_at(sentence: str, span: tuple[int, int], entities: Mapping[str, str], labels: tuple[str, ...]) -> str:
    """Return the label of the token at `span`, according to the parts of the text in a rule."""
    for part, tag in entities.items():
        place = sentence.find(part) if part else -1
        while place >= 0:
            if place <= span[0] and span[1] <= place + len(part):
                marked = ("B-" if span[0] == place else "I-") + _bare(tag)
                return next(label for label in (marked, tag, "I-" + _bare(tag), "B-" + _bare(tag)) if label in labels)
            place = sentence.find(part, place + 1)
    return _PLAIN_LABEL if _PLAIN_LABEL in labels else labels[0]


def _score_type() -> Any:
    if find_spec("numpy") is None:
        return float
    import numpy as np

    return np.float32
