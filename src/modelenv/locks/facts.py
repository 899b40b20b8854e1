"""The facts of a model that a fake needs: taken from its configuration for the lock, and turned back into one.

A lock holds text, numbers and lists of text only, so the labels stand in their order, and what is nested is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelenv.locks.values import Fact, Facts, LockedValueError

# What the fakes read of a `config.json`, where it is text, a number or a truth value.
_OF_CONFIG = (
    "model_type", "problem_type", "num_labels", "hidden_size", "vocab_size", "max_position_embeddings",
    "n_positions", "num_hidden_layers", "is_encoder_decoder", "image_size", "patch_size", "embed_dim",
    "num_channels", "inputs_to_logits_ratio", "feat_extract_norm", "pad_token_id", "eos_token_id",
)  # fmt: skip
_OF_TOKENIZER = ("tokenizer_class", "model_max_length", "do_lower_case", "padding_side", "truncation_side")
_LABELS = "labels"


def facts_of(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> Facts:
    """Return the facts in a model's `config.json` and `tokenizer_config.json`; what cannot be a fact is left out."""
    found: dict[str, Fact] = {}
    for names, source in ((_OF_TOKENIZER, tokenizer), (_OF_CONFIG, config)):
        for name in names:
            if isinstance(source.get(name), str | bool | int | float):
                found.update(_if_fact(name, source[name]))
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures:
        found.update(_if_fact("architectures", architectures))
    labels = _labels(config.get("id2label"))
    if labels:
        found.update(_if_fact(_LABELS, labels))
    return Facts(found)


def config_of(facts: Mapping[str, Fact]) -> dict[str, Any] | None:
    """Return a configuration with these facts, or None where nothing is known of the model."""
    config: dict[str, Any] = {name: fact for name, fact in facts.items() if name not in (*_OF_TOKENIZER, _LABELS)}
    if not config and _LABELS not in facts:
        return None
    if isinstance(config.get("architectures"), tuple):
        config["architectures"] = list(config["architectures"])
    labels = facts.get(_LABELS)
    if isinstance(labels, tuple):
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
        config["label2id"] = {label: index for index, label in enumerate(labels)}
    return config


def _if_fact(name: str, value: Any) -> Mapping[str, Fact]:
    try:
        return Facts({name: value})
    except LockedValueError:
        return {}  # such as a longest length of 10**30


def _labels(id2label: Any) -> list[str]:
    """Return the labels in order; nothing where they are not numbered 0, 1, … without a gap."""
    try:
        by_index = {int(index): label for index, label in id2label.items()}
    except (AttributeError, TypeError, ValueError):
        return []
    labels = [by_index.get(index) for index in range(len(by_index))]
    return labels if all(isinstance(label, str) for label in labels) else []  # type: ignore[return-value]
