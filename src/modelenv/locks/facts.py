"""The facts about a model that a fake needs: extracted from its configuration for the lock, and converted back.

A lock stores only text, numbers, truth values and lists of text. So the labels become a list in order, a list of
numbers becomes a list of text, and a value in a nested configuration gets a name with two parts, such as
`audio_encoder__sampling_rate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelenv.locks.values import Fact, Facts, LockedValueError

# The keys of `config.json` that the fakes read, if the value is text, a number or a truth value.
_OF_CONFIG = tuple(
    """
    model_type problem_type num_labels hidden_size vocab_size max_position_embeddings n_positions
    num_hidden_layers is_encoder_decoder image_size patch_size embed_dim num_channels inputs_to_logits_ratio
    feat_extract_norm pad_token_id eos_token_id d_model dim n_embd emb_dim word_embed_proj_dim num_queries
    num_detection_tokens sampling_rate sample_rate hidden_dim mask_ratio output_stride depth_multiplier
    width_multiplier finegrained_output num_register_tokens max_source_positions max_2d_position_embeddings
    num_aggregation_labels dtype torch_dtype
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
# The same for the nested configurations.
_OF_PARTS: Mapping[str, tuple[str, ...]] = {
    "audio_encoder": ("sampling_rate",),
    "decoder": ("audio_channels",),
    "codec_config": ("sampling_rate", "sample_rate"),
    "text_config": ("hidden_size", "max_position_embeddings", "pad_token_id"),
    "vision_config": ("hidden_size", "image_size", "patch_size"),
}
_NUMBERS = (
    "hidden_sizes",
    "neck_hidden_sizes",
    "depths",
    "conv_kernel",
    "conv_stride",
    "image_size",
)  # the keys that can have a list of numbers
_OF_TOKENIZER = ("tokenizer_class", "model_max_length", "do_lower_case", "padding_side", "truncation_side")
_LABELS = {"labels": "id2label", "aggregation_labels": "aggregation_labels"}  # the fact's name: the key in a config
_IN = "__"


def facts_of(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> Facts:
    """Return the facts in the `config.json` and `tokenizer_config.json`, except values that a fact cannot have."""
    found: dict[str, Fact] = {}
    places: list[tuple[Any, tuple[str, ...], str]] = [(tokenizer, _OF_TOKENIZER, ""), (config, _OF_CONFIG, "")]
    places += [(config.get(part), names, part + _IN) for part, names in _OF_PARTS.items()]
    for values, names, prefix in places:
        for name in names if isinstance(values, Mapping) else ():
            if isinstance(values.get(name), str | bool | int | float):
                found.update(_if_fact(prefix + name, values[name]))
    for name in _NUMBERS:
        numbers = config.get(name)
        if isinstance(numbers, list) and numbers and all(type(number) is int for number in numbers):
            found.update(_if_fact(name, [str(number) for number in numbers]))
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures:
        found.update(_if_fact("architectures", architectures))
    for name, theirs in _LABELS.items():
        labels = _labels(config.get(theirs))
        if labels:
            found.update(_if_fact(name, labels))
    return Facts(found)


def config_of(facts: Mapping[str, Fact]) -> dict[str, Any] | None:
    """Return a configuration with these facts, or None if there are none."""
    config: dict[str, Any] = {}
    for name, fact in facts.items():
        if name in _OF_TOKENIZER:
            continue
        part, is_inside, inner = name.partition(_IN)
        if is_inside:
            values = config.setdefault(part, {})
            if isinstance(values, dict):
                values[inner] = fact
        elif name in _LABELS and isinstance(fact, tuple):
            config[_LABELS[name]] = {str(index): label for index, label in enumerate(fact)}
        else:
            config[name] = _listed(name, fact)
    if "id2label" in config:
        config["label2id"] = {label: int(index) for index, label in config["id2label"].items()}
    return config or None


def tokenizer_config_of(facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return the part of `tokenizer_config.json` that these facts describe."""
    return {name: facts[name] for name in _OF_TOKENIZER if name in facts}


def _listed(name: str, fact: Fact) -> Any:
    """Convert a fact to its form in a configuration: a tuple becomes a list, of numbers if it had numbers there."""
    if not isinstance(fact, tuple):
        return fact
    is_numbers = name in _NUMBERS and all(number.lstrip("-").isdecimal() for number in fact)
    return [int(number) for number in fact] if is_numbers else list(fact)


def _if_fact(name: str, value: Any) -> Mapping[str, Fact]:
    try:
        return Facts({name: value})
    except LockedValueError:
        return {}  # such as a model_max_length of 10**30


def _labels(id2label: Any) -> list[str]:
    """Return the labels in order, or an empty list if they are not numbered 0, 1, … without a gap."""
    try:
        by_index = {int(index): label for index, label in id2label.items()}
    except (AttributeError, TypeError, ValueError):
        return []
    labels = [by_index.get(index) for index in range(len(by_index))]
    return labels if all(isinstance(label, str) for label in labels) else []  # type: ignore[return-value]
