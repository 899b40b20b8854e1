"""Generates text for fakes: the tokens of an answer, and the streamer that receives them one by one."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelenv.fakes import seeded
from modelenv.fakes.model.text_tokenizers import Layout, WordTokenizer
from modelenv.fakes.tensors import as_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelenv.fakes.model.text_tokenizers import TextTokenizer
    from modelenv.fakes.text.generating import Generation


@dataclass(frozen=True)
class NewText:
    """The tokens that a model generates after a prompt, and their text."""

    ids: list[int]
    text: str


def draw_text(tokenizer: TextTokenizer, number: int, *parts: str | bytes, start: str = " ") -> NewText:
    """Return a text of `number` tokens: plain words chosen by a hash of `parts`, after `start`."""
    text = start + " ".join(seeded.words(number, *parts))
    ids = given_text(tokenizer, text).ids[:number]
    # Without the model's own tokenizer, each word is a token, so the text is exact.
    return NewText(ids, text if isinstance(tokenizer, WordTokenizer) else tokenizer.decode(ids, skip_special=True))


def given_text(tokenizer: TextTokenizer, text: str) -> NewText:
    """Return a scripted text with its tokens."""
    [row] = tokenizer.encode([text], Layout(), add_special=False, is_split=False)
    return NewText(row.ids, text)


def stream(generation: Generation, prompts: Sequence[list[int]], answers: Sequence[NewText], padding: int) -> None:
    """Pass a streamer what `generate` passes: the prompts, then one token of every answer at a time, then the end.

    Args:
        generation: The settings with the streamer. If it has none, nothing happens.
        prompts: The tokens of the prompts of one call of `generate`. They have the same length.
        answers: The answers: for each prompt in order, the number of sequences.
        padding: The token that follows the end of an answer that is shorter than the others.
    """
    streamer = generation.streamer
    if streamer is None:
        return
    numpy = importlib.import_module("numpy")
    copies = max(generation.beams, generation.sequences)
    streamer.put(as_tensor(numpy.array([ids for ids in prompts for _ in range(copies)], dtype="int64")))
    if generation.beams > 1:
        return  # `generate` passes neither the tokens nor the end of sampled beams
    for index in range(max(len(answer.ids) for answer in answers)):
        tokens = [answer.ids[index] if index < len(answer.ids) else padding for answer in answers]
        streamer.put(as_tensor(numpy.array(tokens, dtype="int64")))
    streamer.end()
