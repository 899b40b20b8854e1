"""A streamer receives the text of a fake token by token."""

from __future__ import annotations

from typing import Any

import pytest

from modelenv.fakes import fake_pipeline


class Collector:
    """Collects like the streamers of transformers: the prompt in rows, then one token at a time."""

    def __init__(self) -> None:
        self.prompt: list[list[int]] = []
        self.new: list[list[int]] = []
        self.ended = 0

    def put(self, value: Any) -> None:
        if len(value.shape) > 1:
            self.prompt = value.tolist()
        else:
            self.new.append(value.tolist())

    def end(self) -> None:
        self.ended += 1


def test_a_streamer_gets_the_prompt_each_token_and_the_end() -> None:
    streamer = Collector()
    fake = fake_pipeline("text-generation")
    [answer] = fake("the price of", streamer=streamer, max_new_tokens=4, return_tensors=True)
    [prompt] = streamer.prompt
    assert prompt + [token for [token] in streamer.new] == answer["generated_token_ids"]
    assert (len(streamer.new), streamer.ended) == (4, 1)


def test_a_scripted_text_is_streamed_completely() -> None:
    streamer = Collector()
    fake = fake_pipeline("text-generation")
    fake.when("France").returns(" is Paris.", " is a large old city.")
    short, long = fake(
        "The capital of France", streamer=streamer, max_new_tokens=1, num_return_sequences=2, return_tensors=True
    )
    width = len(streamer.prompt[0])
    columns = [list(column) for column in zip(*streamer.new, strict=True)]
    assert columns[1] == long["generated_token_ids"][width:]
    written = short["generated_token_ids"][width:]
    assert columns[0][: len(written)] == written
    assert len(set(columns[0][len(written) :])) == 1  # padding, to the length of the other


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
def test_multimodal_fakes_stream(task: str) -> None:
    streamer = Collector()
    generation = {"streamer": streamer, "max_new_tokens": 3}
    [answer] = fake_pipeline(task)(text="hello you", generate_kwargs=generation, return_tensors=True)
    ids = streamer.prompt[0] + [token for [token] in streamer.new]
    assert answer["generated_token_ids"].tolist() == ids
    assert (len(streamer.new), streamer.ended) == (3, 1)


def test_a_beam_search_cannot_be_streamed() -> None:
    with pytest.raises(ValueError, match="a streamer does not support beam search: leave out num_beams"):
        fake_pipeline("text-generation")("a", streamer=Collector(), num_beams=2, do_sample=False)
