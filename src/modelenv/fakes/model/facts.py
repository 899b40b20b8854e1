"""Reads the facts that a fake needs about its model, from a config, a folder's files, or defaults."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TRANSFORMERS_NUM_LABELS = 2  # the default of PreTrainedConfig, if a config has neither labels nor their number


@dataclass(frozen=True)
class ModelFacts:
    """The facts that a fake needs about one model.

    Attributes:
        name: The model's name, or its folder as text.
        labels: The labels in the order of the model's outputs.
        label2id: The mapping in the config, or None if the config has none, as in transformers.
        problem_type: `regression`, `multi_label_classification`, `single_label_classification` or None.
        config: The content of the config, or the family's defaults if there is none.
        folder: The model's folder, if there is one. Its weights are never read.
        tokenizer: The known content of `tokenizer_config.json`, if there is no folder.
    """

    name: str
    labels: tuple[str, ...]
    label2id: Mapping[str, int] | None = None
    problem_type: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    tokenizer: Mapping[str, Any] = field(default_factory=dict)

    def read_file(self, name: str) -> Mapping[str, Any]:
        """Return the known content of a JSON file of the model, or an empty mapping.

        Raises:
            ConfigurationError: The file is not a JSON object.
        """
        if self.folder is None:
            return dict(self.tokenizer) if name == "tokenizer_config.json" else {}
        path = self.folder / name
        return _read_object(path, self.name) if path.is_file() else {}

    def processor(self, part: str) -> Mapping[str, Any]:
        """Return the settings of the model's processor, or an empty mapping.

        Args:
            part: `image_processor` or `feature_extractor`. transformers 5 saves its settings in
                `processor_config.json` if a model has several processors. In all other cases they are in
                `preprocessor_config.json`.

        Raises:
            ConfigurationError: A file is not a JSON object.
        """
        nested = self.read_file("processor_config.json").get(part)
        return nested if isinstance(nested, dict) else self.read_file("preprocessor_config.json")

    def sampling_rate(self, default: int) -> int:
        """Return the sampling rate of the model's feature extractor."""
        rate = self.processor("feature_extractor").get("sampling_rate")
        return rate if type(rate) is int and rate > 0 else default

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view can be neither copied nor pickled, so a copy gets its own view.
        read_only = dict(self.config), self.folder, dict(self.tokenizer)
        return _facts, (self.name, self.labels, self.label2id, self.problem_type, *read_only)


def read_facts(
    model: str | Path,
    config: Mapping[str, Any] | None,
    *,
    defaults: Mapping[str, Any] = _NOTHING,
    tokenizer: Mapping[str, Any] | None = None,
) -> ModelFacts:
    """Return the facts of `model` from `config`, or its folder's `config.json`, or `defaults`.

    Raises:
        ConfigurationError: The config is not a JSON object, or its labels are not valid.
        ModelNotFoundError: The folder has no `config.json`, or `model` is a `Path` that does not exist.
    """
    name = str(model)
    folder = Path(model) if isinstance(model, Path) or os.path.isdir(model) else None  # noqa: PTH112 - fast
    if config is None:
        config = defaults if folder is None else _read_config(folder)
    labels = _labels(name, config)
    label2id = config.get("label2id")
    if config.get("id2label") is None or _resets_labels(config) or config is defaults:
        label2id = {label: index for index, label in enumerate(labels)}
    problem_type = config.get("problem_type")
    return _facts(name, labels, label2id, problem_type, dict(config), folder, tokenizer or _NOTHING)


def _facts(
    name: str,
    labels: tuple[str, ...],
    label2id: Mapping[str, int] | None,
    problem_type: str | None,
    config: dict[str, Any],
    folder: Path | None,
    tokenizer: Mapping[str, Any],
) -> ModelFacts:
    frozen = MappingProxyType(config), folder, MappingProxyType(dict(tokenizer))
    return ModelFacts(name, labels, label2id, problem_type, *frozen)


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelNotFoundError(
            "the model's folder has no config.json",
            model=str(folder),
            tried=(str(path),),
            hint="use a folder that save_pretrained has written, or pass config={...}",
        )
    return _read_object(path, str(folder))


def _read_object(path: Path, model: str) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is not valid JSON: {error}", model=model, hint=f"save the model's {path.name} again"
        ) from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{path} is not a JSON object",
            model=model,
            expected="a JSON object",
            found=type(content).__name__,
            hint=f"save the model's {path.name} again",
        )
    return content


def _labels(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels as transformers 5 computes them (`PreTrainedConfig.__post_init__` and `num_labels`)."""
    id2label = config.get("id2label")
    if id2label is None or _resets_labels(config):
        number = config.get("num_labels", _TRANSFORMERS_NUM_LABELS)
        if type(number) is not int or number < 1:
            raise _invalid(name, "num_labels", "a whole number of at least 1", number)
        return tuple(f"LABEL_{index}" for index in range(number))
    try:
        by_index = {int(index): label for index, label in id2label.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise _invalid(name, "id2label", "an object that maps 0, 1, … to labels", id2label) from error
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise _invalid(name, "id2label", "a label for each of 0, 1, … without a gap", id2label)
    return tuple(by_index[index] for index in range(len(by_index)))


def _resets_labels(config: Mapping[str, Any]) -> bool:
    """Whether the config's `num_labels` contradicts `id2label`. transformers then drops the names."""
    number, id2label = config.get("num_labels"), config.get("id2label")
    return number is not None and hasattr(id2label, "__len__") and len(id2label) != number  # type: ignore[arg-type]


def _invalid(name: str, key: str, expected: str, found: object) -> ConfigurationError:
    return ConfigurationError(
        f"the config's {key!r} is not valid",
        model=name,
        expected=expected,
        found=repr(found),
        hint="pass the content of the model's own config.json",
    )
