"""What the fakes that write text have in common: new tokens, and the streamer that is shown them one by one."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelenv.fakes import seeded
from modelenv.fakes.model.tokens import Layout, WordTokenizer
from modelenv.fakes.tensors import as_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelenv.fakes.model.tokens import TextTokenizer
    from modelenv.fakes.text.generating import Generation


@dataclass(frozen=True)
class NewText:
    """What a model adds to a prompt: the tokens, and their text."""

    ids: list[int]
    text: str


def draw_text(tokenizer: TextTokenizer, number: int, *parts: str | bytes, start: str = " ") -> NewText:
    """Return a text of `number` tokens, of plain words drawn from `parts`, that begins with `start`."""
    text = start + " ".join(seeded.words(number, *parts))
    ids = given_text(tokenizer, text).ids[:number]
    # A word is a token where there is no tokenizer of the model's own, and its text is then the words.
    return NewText(ids, text if isinstance(tokenizer, WordTokenizer) else tokenizer.decode(ids, skip_special=True))


def given_text(tokenizer: TextTokenizer, text: str) -> NewText:
    """Return a scripted text with its tokens."""
    [row] = tokenizer.encode([text], Layout(), add_special=False, is_split=False)
    return NewText(row.ids, text)


def stream(generation: Generation, prompts: Sequence[list[int]], answers: Sequence[NewText], padding: int) -> None:
    """Show a streamer what `generate` shows it: the prompts, then a token of every answer at a time, and the end.

    Args:
        generation: names the streamer; nothing happens where there is none.
        prompts: the tokens of the prompts of one call of `generate`, of one length.
        answers: for each prompt in turn as many as there are sequences.
        padding: the token that follows the end of an answer shorter than the others.
    """
    streamer = generation.streamer
    if streamer is None:
        return
    numpy = importlib.import_module("numpy")
    copies = max(generation.beams, generation.sequences)
    streamer.put(as_tensor(numpy.array([ids for ids in prompts for _ in range(copies)], dtype="int64")))
    if generation.beams > 1:
        return  # beams that are sampled are never shown, and have no end
    for index in range(max(len(answer.ids) for answer in answers)):
        tokens = [answer.ids[index] if index < len(answer.ids) else padding for answer in answers]
        streamer.put(as_tensor(numpy.array(tokens, dtype="int64")))
    streamer.end()
