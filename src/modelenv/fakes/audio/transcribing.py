"""Makes the transcription of a fake speech recogniser: words, and their timestamps."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from modelenv.fakes import seeded

_WORDS_PER_SECOND = 2


@dataclass(frozen=True)
class Frames:
    """The outputs of a model over time.

    Attributes:
        count: The number of outputs.
        seconds: The length of one output in seconds.
    """

    count: int
    seconds: float

    def span(self, start: int, end: int) -> tuple[Any, Any]:
        """Return the start and end times of some frames, as numpy numbers like those of the real pipeline."""
        return _number(start * self.seconds), _number(end * self.seconds)


def utterance(model: str, digest: bytes, frames: Frames) -> str:
    """Return the words that fit into `frames`, with at most one letter per frame. A short sound can have none."""
    number = max(1, int(frames.count * frames.seconds * _WORDS_PER_SECOND))
    chosen: list[str] = []
    for word in seeded.words(number, model, digest):
        if len(" ".join([*chosen, word])) > frames.count:
            break
        chosen.append(word)
    return " ".join(chosen)


def character_chunks(text: str, frames: Frames) -> list[dict[str, Any]]:
    """Return each character of `text` with its timestamp."""
    return [
        {"text": character, "timestamp": frames.span(start, end)}
        for character, start, end in _placed(list(text), frames)
    ]


def word_chunks(text: str, frames: Frames, *, whisper: bool) -> list[dict[str, Any]]:
    """Return each word of `text` with its timestamp. Whisper's words start with a space, its numbers are plain."""
    placed = _placed(text.split(), frames)
    if not whisper:
        return [{"text": word, "timestamp": frames.span(start, end)} for word, start, end in placed]
    return [
        {
            "text": f" {word}",
            "timestamp": (round(start * frames.seconds, 2), round(end * frames.seconds, 2)),
        }
        for word, start, end in placed
    ]


def segment_chunks(text: str, frames: Frames, *, timed: bool) -> list[dict[str, Any]]:
    """Return `text` as one segment from the start to the end."""
    if not timed:
        return [{"text": text}]
    return [{"timestamp": (0.0, round(frames.count * frames.seconds, 2)), "text": text}]


def _placed(parts: list[str], frames: Frames) -> list[tuple[str, int, int]]:
    """Return the parts in order, spread over the frames, each with its first frame and the frame after its last."""
    if not parts:
        return []
    edges = [frames.count * index // len(parts) for index in range(len(parts) + 1)]
    return [(part, edges[index], max(edges[index] + 1, edges[index + 1])) for index, part in enumerate(parts)]


def _number(value: float) -> Any:
    return importlib.import_module("numpy").float64(value) if find_spec("numpy") else value
