"""The base of the fakes that continue a prompt or a chat of text, images and sounds.

It follows `transformers/pipelines/image_text_to_text.py` and `any_to_any.py` (5.24), which have the same steps.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from modelenv.fakes.base import Chat, FakePipeline
from modelenv.fakes.media import Seen, as_predicate, is_pillow_image, read_image
from modelenv.fakes.model.chat_templates import render
from modelenv.fakes.scripting import When
from modelenv.fakes.tensors import as_tensor
from modelenv.fakes.text.generating import Generation, read_generation, split_generation
from modelenv.fakes.text.tokenized_inputs import tokenize
from modelenv.fakes.text.writing import NewText, draw_text, given_text, stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.fakes.model.facts import ModelFacts
    from modelenv.fakes.model.text_tokenizers import Row

_NOT_OF_TOKENIZERS = frozenset(
    {"clean_up_tokenization_spaces", "generation_mode", "skip_special_tokens", "timeout", "tools", "return_tensors"}
)


class WhenPrompted(When):
    """A rule for a model that continues prompts and chats."""

    def returns(self, text: str) -> None:
        """Answer every matching input with this text as the generated text, in the structure of the call form."""
        self._add(text)


@dataclass(frozen=True)
class Prompt:
    """One input: texts or one chat, with its images and sounds.

    Attributes:
        texts: The texts to continue, or one chat. Each has its own answers. An entry is None if there is no text.
        seen: The input as rules see it.
        written: The text for the tokenizer, for each of `texts`.
    """

    texts: tuple[Any, ...]
    seen: Seen
    written: Sequence[str]


class FakeContinuation(FakePipeline):
    """The base of the fakes that continue prompts and chats."""

    __slots__ = ("_generate_kwargs",)

    def __init__(self, task: str, facts: ModelFacts, pipeline_kwargs: Mapping[str, Any]) -> None:
        self._generate_kwargs, rest = split_generation(pipeline_kwargs)
        super().__init__(task, facts, rest)

    def when(self, pattern: Any) -> WhenPrompted:
        """Start a rule: `fake.when("describe").returns("a cat on a mat")`.

        Args:
            pattern: A part of the prompt, of a message, or of an image's path; a compiled regular expression; a
                function of the input as it was passed; or an image with the same content. The later of two
                matching rules wins.
        """
        return WhenPrompted(self._script, as_predicate(pattern))

    @abstractmethod
    def _prompt(self, item: Any) -> Prompt:
        """Return an input that is not a chat as a prompt."""

    def _one(
        self,
        item: Any,
        /,
        *,
        generate_kwargs: Mapping[str, Any] | None = None,
        return_type: str = "FULL_TEXT",
        continue_final_message: Any = None,
        processing: Mapping[str, Any] | None = None,
        key: str = "generated_text",
    ) -> list[dict[str, Any]]:
        """Return the answers to one input: `num_return_sequences` for each text."""
        continues = False
        if isinstance(item, Chat):
            last = item.messages[-1]["role"] == "assistant"
            continues = bool(last if continue_final_message is None else continue_final_message)
            prompt = _chat_prompt(item, self._facts, continues=continues)
        else:
            prompt = self._prompt(item)
        rows = self._rows(prompt.written, processing or {})
        width = len(rows[0])
        model = self._facts.read_file("generation_config.json")
        generation = read_generation(self._generate_kwargs, generate_kwargs or {}, model=model)
        news = [self._answers(prompt.seen, text, generation, width) for text in prompt.texts]
        padding = self._tokenizer_of_model().id_of_special("pad_token") or 0
        stream(generation, [row.ids for row in rows], [*chain(*news)], padding)
        answers = []
        for text, row, found in zip(prompt.texts, rows, news, strict=True):
            given = text.messages if isinstance(text, Chat) else text
            for new in found:
                if return_type == "TENSORS":
                    answers.append({"input_text": given, "generated_token_ids": _tensor([*row.ids, *new.ids])})
                else:
                    written = self._text(return_type, text, row, new.text, continues)
                    answers.append({"input_text": given, key: written})
        return answers

    def _text(self, return_type: str, text: Any, row: Row, new: str, continues: bool) -> Any:
        if return_type == "NEW_TEXT":
            return new
        if return_type == "FULL_TEXT":
            return _joined(text, new, continues)
        # For an unknown return type, the real pipeline returns the whole decoded text.
        return self._tokenizer_of_model().decode(row.ids, skip_special=True) + new

    def _rows(self, written: Sequence[str], processing: Mapping[str, Any]) -> list[Row]:
        """Return the tokens of the texts. Several texts are padded to the longest."""
        padding = {"padding": True} if len(written) > 1 else {}
        kwargs = {**padding, **processing}
        rows = tokenize(self._tokenizer_of_model(), list(written), return_tensors="pt", **kwargs).rows
        if not rows[0].ids:
            raise (IndexError if len(rows) > 1 else RuntimeError)("the prompt has no tokens")
        return rows

    def _answers(self, seen: Seen, text: Any, generation: Generation, width: int) -> list[NewText]:
        tokenizer = self._tokenizer_of_model()
        number = generation.new_tokens(width)
        scripted = self._script.find((seen,))  # type: ignore[arg-type]
        if scripted is not None:
            return [given_text(tokenizer, str(scripted))] * generation.sequences
        prompt = repr(_texts_of(text)) if isinstance(text, Chat) else text or ""
        return [
            draw_text(tokenizer, number, self._facts.name, prompt, *seen.digests, str(index))
            for index in range(generation.sequences)
        ]


def _tensor(ids: list[int]) -> Any:
    return as_tensor(importlib.import_module("numpy").array(ids, dtype="int64"))


def read_parameters(
    max_new_tokens: Any = None,
    generate_kwargs: Any = None,
    return_full_text: Any = None,
    return_tensors: Any = None,
    return_type: Any = None,
    stop_sequence: Any = None,
    continue_final_message: Any = None,
    processor_kwargs: Any = None,
    **rest: Any,
) -> dict[str, Any]:
    """Return the parameters of `_one` for these arguments of a pipeline or of a call.

    Raises:
        ValueError: `max_new_tokens` is passed twice, or `return_full_text` and `return_tensors` together.
        AttributeError, TypeError: `generate_kwargs` or `processor_kwargs` is not a dict.
    """
    parameters: dict[str, Any] = {}
    generation = None if generate_kwargs is None else {**generate_kwargs.copy()}
    if stop_sequence is not None:
        strings = [stop_sequence] if isinstance(stop_sequence, str) else stop_sequence
        generation = {**(generation or {}), "stop_strings": strings, "tokenizer": "the model's"}
    if max_new_tokens is not None:
        if generation and "max_new_tokens" in generation:
            raise ValueError("max_new_tokens is passed twice: in generate_kwargs, and as an argument")
        generation = {**(generation or {}), "max_new_tokens": max_new_tokens}
    if generation is not None:
        parameters["generate_kwargs"] = generation
    kind = _return_type(return_type, return_full_text, return_tensors)
    if kind is not None:
        parameters["return_type"] = kind
    if continue_final_message is not None:
        parameters["continue_final_message"] = continue_final_message
    processing = rest if processor_kwargs is None else processor_kwargs
    parameters["processing"] = {
        name: value for name, value in {**processing}.items() if name not in _NOT_OF_TOKENIZERS
    }
    return parameters


def _return_type(return_type: Any, return_full_text: Any, return_tensors: Any) -> str | None:
    """Return the name of the return type, or None for the default."""
    if return_type is not None:
        return str(getattr(return_type, "name", return_type))
    if return_full_text is not None:
        if return_tensors is not None:
            raise ValueError("return_full_text and return_tensors cannot be given together")
        return "FULL_TEXT" if return_full_text else "NEW_TEXT"
    return None if return_tensors is None else "TENSORS"  # also for return_tensors=False, as in the real pipeline


def _chat_prompt(chat: Chat, facts: ModelFacts, *, continues: bool) -> Prompt:
    """Return a chat as a prompt.

    Raises:
        ValueError: The model's folder has no chat template, or an image of the chat cannot be read.
    """
    texts, digests = [], []
    written = render(facts, chat.messages, continues=continues)
    for message in chat.messages:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content or ():
            if part.get("type") == "text":
                texts.append(part["text"])
            given = next((part[name] for name in ("image", "url", "path", "base64") if name in part), None)
            if part.get("type") == "image":
                if given is None:
                    raise ValueError("a part of type image must have one of the keys image, url, path and base64")
                image = read_image(given)
                digests.append(image.digest)
                texts.extend(image.names)
    return Prompt((chat,), Seen(chat.messages, tuple(texts), tuple(digests)), [written])


def check_placeholders(text: Any, token: str | None, number: int | None, kind: str) -> None:
    """Raise ValueError unless the texts have as many placeholders as there are images or sounds.

    Args:
        text: One text or several.
        token: The placeholder, or None if the model has none.
        number: The number of images or sounds, or None if the argument was not passed.
        kind: The name of the argument, for the message.
    """
    if token is None:
        return
    found = sum(part.count(token) for part in ([text] if isinstance(text, str) else text))
    if number is None and found:
        raise ValueError(f"the text has {found} {token}, but there are no {kind}")
    if number is not None and found != number:
        raise ValueError(f"the text has {found} {token}, but the number of {kind} is {number}")


def _texts_of(chat: Chat) -> list[str]:
    """Return the roles, texts and other values of a chat, except for Pillow images."""
    found: list[str] = []
    for message in chat.messages:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content or ()
        found.append(str(message["role"]))
        found += [str(value) for part in parts for value in part.values() if not is_pillow_image(value)]
    return found


def _joined(text: Any, new: str, continues: bool) -> Any:
    """Return the prompt and the new text as one text, or as one chat."""
    if not isinstance(text, Chat):
        return (text or "") + new
    if not continues:
        return [*text.messages, {"role": "assistant", "content": new}]
    last = text.messages[-1]
    content = last["content"]
    if isinstance(content, str):
        content += new
    else:
        part = dict(content[-1].items())
        part["text"] += new
        content = [*content[:-1], part]
    return [*list(text.messages)[:-1], {"role": last["role"], "content": content}]
