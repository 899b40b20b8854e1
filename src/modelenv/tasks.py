"""Task names: the tasks of transformers' pipeline registry, its aliases, and our own.

The lists are copied from transformers 5.24 (`transformers/pipelines/__init__.py`), so that a run with fakes can check
a task without importing transformers. A test compares them with the installed version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from modelenv.errors import ConfigurationError

TASKS = frozenset(
    {
        "any-to-any",
        "audio-classification",
        "automatic-speech-recognition",
        "decision",
        "depth-estimation",
        "document-question-answering",
        "feature-extraction",
        "fill-mask",
        "image-classification",
        "image-feature-extraction",
        "image-segmentation",
        "image-text-to-text",
        "keypoint-matching",
        "mask-generation",
        "object-detection",
        "table-question-answering",
        "text-classification",
        "text-generation",
        "text-to-audio",
        "token-classification",
        "video-classification",
        "zero-shot-audio-classification",
        "zero-shot-classification",
        "zero-shot-image-classification",
        "zero-shot-object-detection",
    }
)
TASK_ALIASES = MappingProxyType(
    {
        "ner": "token-classification",
        "sentiment-analysis": "text-classification",
        "text-to-speech": "text-to-audio",
    }
)
REMOVED_TASKS = MappingProxyType(
    {
        "image-to-image": "use the diffusers library",
        "image-to-text": "use image-text-to-text",
        "question-answering": "use text-generation with a chat model",
        "summarization": "use text-generation with a chat model",
        "text2text-generation": "use text-generation with a chat model",
        "translation": "use text-generation with a chat model",
        "visual-question-answering": "use image-text-to-text with a vision-language chat model",
        "vqa": "use image-text-to-text with a vision-language chat model",
    }
)


@dataclass(frozen=True)
class Task:
    """A pipeline task, and the pipeline arguments that its name implies.

    Attributes:
        name: A task in transformers' registry, such as `text-classification`.
        pipeline_kwargs: Arguments for the pipeline; `sentiment` implies `{"top_k": None}`.
    """

    name: str
    pipeline_kwargs: Mapping[str, Any] = field(default_factory=dict)


_OURS = MappingProxyType({"sentiment": Task("text-classification", MappingProxyType({"top_k": None}))})


def resolve_task(text: str) -> Task:
    """Return the `Task` for `text`: a task name, a transformers alias, or `sentiment`.

    Raises:
        ConfigurationError: The name is unknown, or transformers 5 removed the task.
    """
    if not isinstance(text, str):
        raise ConfigurationError("a task must be text", expected="a name such as 'sentiment'", found=repr(text))
    if text in _OURS:
        return _OURS[text]
    name = TASK_ALIASES.get(text, text)
    if name in TASKS:
        return Task(name)
    removed = REMOVED_TASKS.get("translation" if name.startswith("translation_") else name)
    if removed is not None:
        raise ConfigurationError(f"transformers 5 removed the task {text!r}", hint=removed)
    import difflib

    valid = sorted({*TASKS, *TASK_ALIASES, *_OURS})
    close = difflib.get_close_matches(text, valid, n=1)
    raise ConfigurationError(
        f"unknown task {text!r}",
        expected="one of " + ", ".join(valid),
        hint=f"did you mean {close[0]!r}?" if close else "use a task of transformers.pipeline",
    )
