"""Ranks the labels of a call, for the fakes of the zero-shot tasks on images and sounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.model.text_tokenizers import Layout
from modelenv.fakes.scripting import Script, When

if TYPE_CHECKING:
    from modelenv.fakes.media import Seen
    from modelenv.fakes.model.facts import ModelFacts
    from modelenv.fakes.model.text_tokenizers import TextTokenizer

_BERTS = ("align", "chinese_clip", "clap")  # their text model is a BERT or a RoBERTa


@dataclass(frozen=True)
class _Scripted:
    label: str
    score: float


class WhenLabelled(When):
    """A rule for a task whose labels come with the call."""

    def __init__(self, script: Script, pattern: Any, model: str) -> None:
        super().__init__(script, pattern)
        self._model = model

    def returns(self, label: str, score: float) -> None:
        """Answer every matching input with `label` and `score`. The other labels share the rest evenly.

        A call without this label raises ConfigurationError.

        Raises:
            ConfigurationError: The score is not in [0, 1].
        """
        number = isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score)
        if not number or not 0 <= score <= 1:
            raise ConfigurationError(
                f"the score of {label!r} cannot come from this model",
                model=self._model,
                expected="a number from 0 to 1",
                found=repr(score),
                hint="the scores of a call's labels are probabilities",
            )
        self._add(_Scripted(label, float(score)))


def rank(
    model: str, script: Script, seen: Seen, labels: Any, template: Any, independent: bool
) -> list[dict[str, Any]]:
    """Return `{"score", "label"}` for each label of the call, the best first.

    Args:
        model: The model's name.
        script: The scripted answers.
        seen: The input.
        labels: The candidates.
        template: The text around a label. It must have a `format` method.
        independent: Whether the scores are independent. Otherwise they sum to 1.

    Raises:
        TypeError: There are no labels, or they are not a sequence.
        AttributeError: The template is not a text.
        IndexError: The list of labels is empty, or the template has several placeholders.
        ConfigurationError: A scripted label is not among those of the call.
    """
    texts = [template.format(label) for label in labels]
    if not texts:
        raise IndexError("candidate_labels is empty: give at least one label")
    scripted = script.find((seen,))  # type: ignore[arg-type]
    if scripted is not None:
        scores = _spread(model, scripted, list(labels))
    else:
        outputs = seeded.logits(len(texts), model, *seen.digests, *texts)
        scores = seeded.sigmoid(outputs) if independent else seeded.softmax(outputs)
    pairs = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
    return [{"score": score, "label": label} for score, label in pairs]


def _spread(model: str, scripted: _Scripted, labels: list[Any]) -> list[float]:
    if scripted.label not in labels:
        raise ConfigurationError(
            f"the scripted label {scripted.label!r} is not a label of this call",
            model=model,
            expected="one of " + ", ".join(map(str, labels)),
            hint="script a label that the code under test passes",
        )
    winner = labels.index(scripted.label)
    rest = (1 - scripted.score) / (len(labels) - 1) if len(labels) > 1 else 0.0
    return [scripted.score if index == winner else rest for index in range(len(labels))]


def check_labels(facts: ModelFacts, tokenizer: TextTokenizer, ranked: list[dict[str, Any]], template: str) -> None:
    """Check that no label has more tokens than the model's text model has positions.

    Raises:
        ValueError: As CLIP and similar models. SigLIP truncates labels, and raises nothing.
        RuntimeError: As a model whose text model is a BERT or a RoBERTa.
    """
    text = facts.config.get("text_config") or {}
    limit = text.get("max_position_embeddings")
    kind = str(facts.config.get("model_type"))
    if limit is None or "siglip" in kind:
        return
    if kind == "clap":
        limit -= text.get("pad_token_id", 1) + 1
    texts = [template.format(answer["label"]) for answer in ranked]
    width = max(map(len, tokenizer.encode(texts, Layout(), add_special=True, is_split=False)))
    if width > limit:
        raise (RuntimeError if kind in _BERTS else ValueError)(f"a label has {width} tokens, the model takes {limit}")
