"""What a fake knows of its model: read from a config, or from a folder's `config.json`, or a default."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRANSFORMERS_NUM_LABELS = 2  # what PreTrainedConfig gives where a config names neither labels nor their number


@dataclass(frozen=True)
class ModelFacts:
    """The facts of one model that a fake needs.

    Attributes:
        name: the model's name, or its folder as text.
        labels: the labels in the order of the model's outputs.
        label2id: as in the config; None where the config has none, as in transformers.
        problem_type: `regression`, `multi_label_classification`, `single_label_classification` or None.
        config: the other content of the config; empty if there is none.
    """

    name: str
    labels: tuple[str, ...]
    label2id: Mapping[str, int] | None = None
    problem_type: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def read_facts(model: str | Path, config: Mapping[str, Any] | None, *, default_labels: tuple[str, ...]) -> ModelFacts:
    """Return the facts of `model` from `config`, else from its folder, else with `default_labels`.

    Raises:
        ConfigurationError: the config is no JSON object, or its labels cannot be used.
        ModelNotFoundError: the folder has no `config.json`, or `model` is a `Path` that does not exist.
    """
    name = str(model)
    if config is None:
        folder = Path(model)
        if not isinstance(model, Path) and not folder.is_dir():
            ids = {label: index for index, label in enumerate(default_labels)}
            return ModelFacts(name, default_labels, MappingProxyType(ids))
        config = _read_config(folder)
    labels = _labels(name, config)
    label2id = config.get("label2id")
    if config.get("id2label") is None or _resets_labels(config):
        label2id = {label: index for index, label in enumerate(labels)}
    return ModelFacts(name, labels, label2id, config.get("problem_type"), MappingProxyType(dict(config)))


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(
            "the model's folder has no config.json",
            model=str(folder),
            tried=(str(path),),
            hint="name a folder that was written by save_pretrained, or pass config={...}",
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is not valid JSON: {error}", model=str(folder), hint="save the model's config again"
        ) from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{path} is not a model's config",
            model=str(folder),
            expected="a JSON object",
            found=type(content).__name__,
            hint="save the model's config again",
        )
    return content


def _labels(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels as transformers 5 makes them (`PreTrainedConfig.__post_init__` and `num_labels`)."""
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
    """Say whether the config's `num_labels` contradicts `id2label`: transformers then drops the names."""
    number, id2label = config.get("num_labels"), config.get("id2label")
    return number is not None and hasattr(id2label, "__len__") and len(id2label) != number  # type: ignore[arg-type]


def _invalid(name: str, key: str, expected: str, found: object) -> ConfigurationError:
    return ConfigurationError(
        f"the config's {key!r} cannot be used",
        model=name,
        expected=expected,
        found=repr(found),
        hint="pass the content of the model's own config.json",
    )
