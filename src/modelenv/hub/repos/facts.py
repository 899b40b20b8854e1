"""The Hub's metadata of a model, read from its config, its card and the headers of its weights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from modelenv.hub.repos.content import FoundFile
    from modelenv.hub.repos.repository import RepoType

# The task that the Hub derives from the end of an architecture's name if the card does not name one.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "Model": "feature-extraction",
}
_WEIGHTS = {".safetensors": "safetensors", ".onnx": "onnx", ".bin": "pytorch", ".h5": "tf", ".msgpack": "jax"}
# The fields of a dataset card that the Hub turns into tags such as `language:en`, which the client filters by.
_DATASET_TAGS = (
    "task_categories", "task_ids", "annotations_creators", "language_creators", "language", "multilinguality",
    "source_datasets", "license", "size_categories",
)  # fmt: skip
# The maximum header size in the safetensors format.
_HEADER_LIMIT = 100_000_000
_TEXT_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class ModelFacts:
    """The Hub's metadata of a model. A field is None if neither the config nor the card provides it.

    `card` is the card's metadata, `config` is the part of `config.json` that the Hub shows, and `safetensors` is the
    number of parameters by dtype and in total.
    """

    card: Mapping[str, Any] | None
    config: Mapping[str, Any] | None
    library_name: str | None
    pipeline_tag: str | None
    tags: tuple[str, ...]
    safetensors: Mapping[str, Any] | None


def read_facts(files: Sequence[FoundFile], repo_type: RepoType = "model") -> ModelFacts:
    """Read the metadata of a repository from its config, its card and the headers of its weights."""
    by_path = {file.path: file.location for file in files}
    card = _read_card(by_path.get("README.md"))
    config = _read_object(by_path.get("config.json"))
    library_name = _text(card, "library_name") or _library(by_path, config)
    pipeline_tag = _text(card, "pipeline_tag") or _task(library_name, config)
    is_dataset = repo_type == "dataset"
    shown: dict[str, Any] = {key: config[key] for key in ("architectures", "model_type") if key in config}
    return ModelFacts(
        card=card or None,
        config=shown or None,
        library_name=library_name,
        pipeline_tag=pipeline_tag,
        tags=_dataset_tags(card) if is_dataset else _tags(by_path, card, config, library_name, pipeline_tag),
        safetensors=_parameters(location for path, location in by_path.items() if path.endswith(".safetensors")),
    )


def _read_object(location: Path | None) -> dict[str, Any]:
    text = _read_text(location)
    try:
        value = json.loads(text) if text else None
    except ValueError:  # like the public Hub: serve the broken config, without metadata
        return {}
    return value if isinstance(value, dict) else {}


def _read_card(location: Path | None) -> dict[str, Any]:
    try:
        value = card_metadata(_read_text(location) or "")
    except ValueError:  # like the public Hub: show the card, without metadata
        return {}
    return value if isinstance(value, dict) else {}


def card_metadata(text: str) -> object:
    """Return the YAML between the first two `---` lines, as in the Hub's model card specification, or None.

    Raises:
        ValueError: The text is not valid YAML.
    """
    start = text.lstrip()
    if not start.startswith("---"):
        return None
    import yaml

    try:
        return yaml.safe_load(start.split("\n---", 1)[0].removeprefix("---"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def card_problems(text: str) -> tuple[list[str], list[str]]:
    """Return the Hub's errors and warnings for a card's metadata."""
    try:
        card = card_metadata(text)
    except ValueError as error:
        return [f"bad YAML: {error}"], []
    if card is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return ["the metadata must be a mapping"], []
    wrong = [key for key in ("model-index", "datasets", "tags") if not isinstance(card.get(key, []), list | str)]
    if isinstance(card.get("model-index", []), str):
        wrong.append("model-index")
    return [f'"{key}" must be an array' for key in wrong], []


def _read_text(location: Path | None) -> str | None:
    if location is None:
        return None
    try:
        with location.open("rb") as stream:
            return stream.read(_TEXT_LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:  # removed after it was listed
        return None


def _text(card: Mapping[str, Any], key: str) -> str | None:
    value = card.get(key)
    return value if isinstance(value, str) else None


def _texts(card: Mapping[str, Any], key: str) -> list[str]:
    value = card.get(key)
    return [str(item) for item in (value if isinstance(value, list) else [value] if value else [])]


def _library(paths: Mapping[str, Path], config: Mapping[str, Any]) -> str | None:
    if "modules.json" in paths or "config_sentence_transformers.json" in paths:
        return "sentence-transformers"
    return "transformers" if "model_type" in config else None


def _task(library_name: str | None, config: Mapping[str, Any]) -> str | None:
    if library_name == "sentence-transformers":
        return "sentence-similarity"
    architectures = config.get("architectures")
    if not isinstance(architectures, list):
        return None
    for architecture in architectures:
        for suffix, task in _TASKS.items():
            if str(architecture).endswith(suffix):
                return task
    return None


def _tags(
    paths: Mapping[str, Path],
    card: Mapping[str, Any],
    config: Mapping[str, Any],
    library_name: str | None,
    pipeline_tag: str | None,
) -> tuple[str, ...]:
    tags = [
        library_name,
        *sorted({name for end, name in _WEIGHTS.items() if any(p.endswith(end) for p in paths)}),
    ]
    tags += [config.get("model_type"), pipeline_tag, *_texts(card, "tags"), *_texts(card, "language")]
    tags += [f"license:{name}" for name in _texts(card, "license")]
    tags += [f"dataset:{name}" for name in _texts(card, "datasets")]
    tags += [f"base_model:{name}" for name in _texts(card, "base_model")]
    return tuple(dict.fromkeys(str(tag) for tag in tags if tag))


def _dataset_tags(card: Mapping[str, Any]) -> tuple[str, ...]:
    tags = [f"{key}:{text}" for key in _DATASET_TAGS for text in _texts(card, key)]
    return tuple(dict.fromkeys([*tags, *_texts(card, "tags")]))


def _parameters(locations: Iterable[Path]) -> dict[str, Any] | None:
    counts: Counter[str] = Counter()
    for location in locations:
        counts.update(_tensor_sizes(location))
    return {"parameters": dict(counts), "total": counts.total()} if counts else None


def _tensor_sizes(location: Path) -> Counter[str]:
    """Return the number of parameters by dtype. A safetensors header is 8 bytes of length, then JSON."""
    counts: Counter[str] = Counter()
    try:
        with location.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if 0 < length <= _HEADER_LIMIT else {}
        for name, tensor in header.items():
            if name != "__metadata__":
                counts[str(tensor["dtype"])] += prod(tensor["shape"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return Counter()  # damaged weights are served unchanged, without metadata
    return counts
