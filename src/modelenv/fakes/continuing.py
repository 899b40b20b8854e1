"""What the fakes that continue a prompt or a chat of text, images and sounds have in common.

From `transformers/pipelines/image_text_to_text.py` and `any_to_any.py` (5.23), which share their steps.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.fakes import drawing
from modelenv.fakes.base import Chat, FakePipeline
from modelenv.fakes.media import Seen, as_predicate, is_pillow_image, read_image
from modelenv.fakes.scripting import When
from modelenv.fakes.tensors import as_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.fakes.facts import ModelFacts

_WORDS = 8
_VOCABULARY = 1000  # where the config does not say how many tokens there are
# Arguments of generation that people pass when they build a pipeline; a call takes them in generate_kwargs.
_GENERATION = frozenset(
    {"do_sample", "generation_config", "max_length", "max_new_tokens", "min_length", "min_new_tokens", "num_beams"}
    | {"num_return_sequences", "repetition_penalty", "stop_strings", "temperature", "top_k", "top_p", "use_cache"}
)


class WhenPrompted(When):
    """A rule for a model that continues prompts and chats."""

    def returns(self, text: str) -> None:
        """Answer every matching input with this new text, in the structure of the call form."""
        self._add(text)


@dataclass(frozen=True)
class Prompt:
    """One input: texts or one chat, with what came beside it.

    Attributes:
        texts: the texts to continue, or one chat; each gets answers of its own.
        seen: the input in the view of rules.
    """

    texts: tuple[Any, ...]
    seen: Seen


class FakeContinuation(FakePipeline):
    """The base of the fakes that continue prompts and chats."""

    __slots__ = ()

    def __init__(self, task: str, facts: ModelFacts, pipeline_kwargs: Mapping[str, Any]) -> None:
        kwargs = dict(pipeline_kwargs)
        generation = {name: kwargs.pop(name) for name in _GENERATION & kwargs.keys()}
        if generation:
            kwargs["generate_kwargs"] = {**generation, **(kwargs.get("generate_kwargs") or {})}
        super().__init__(task, facts, kwargs)

    def when(self, pattern: Any) -> WhenPrompted:
        """Begin a rule: `fake.when("describe").returns("a cat on a mat")`.

        Args:
            pattern: a part of the prompt, of a message, or of an image's path; a compiled regular expression; a
                function of the input as it was passed; or an image with the same content. The later of two
                matching rules wins.
        """
        return WhenPrompted(self._script, as_predicate(pattern))

    def _continued(
        self,
        prompt: Prompt,
        *,
        generate_kwargs: Mapping[str, Any],
        return_type: str,
        continue_final_message: Any,
        key: str = "generated_text",
    ) -> list[dict[str, Any]]:
        """Return the answers to one input: for each text as many as `num_return_sequences`."""
        number = check_generation(generate_kwargs)
        limit = int(generate_kwargs.get("max_new_tokens") or _WORDS)
        answers = []
        for text in prompt.texts:
            for index in range(number):
                new = self._new_text(prompt.seen, text, index, limit)
                if return_type == "tensors":
                    answers.append({"input_text": text, "generated_token_ids": self._token_ids(text, new)})
                    continue
                whole = _joined(text, new, continue_final_message) if return_type == "full" else new
                answers.append({"input_text": text.messages if isinstance(text, Chat) else text, key: whole})
        return answers

    def _new_text(self, seen: Seen, text: Any, index: int, limit: int) -> str:
        scripted = self._script.find((seen,))  # type: ignore[arg-type]
        if scripted is not None:
            return str(scripted)
        written = repr(_texts_of(text)) if isinstance(text, Chat) else text
        count = max(1, min(_WORDS, limit))
        return " " + " ".join(drawing.words(count, self._facts.name, written, *seen.digests, str(index)))

    def _token_ids(self, text: Any, new: str) -> Any:
        words = (" ".join(_texts_of(text)) if isinstance(text, Chat) else text).split() + new.split()
        size = self._facts.config.get("text_config", self._facts.config).get("vocab_size", _VOCABULARY)
        ids = [int(drawing.units(1, word)[0] * size) for word in words]
        return as_tensor(importlib.import_module("numpy").array(ids, dtype="int64"))


def check_generation(kwargs: Mapping[str, Any]) -> int:
    """Return how many answers each text gets.

    Raises:
        ValueError, TypeError: where `generate` of the real model raises the same class.
    """
    limit = kwargs.get("max_new_tokens")
    if limit is not None and limit <= 0:
        raise ValueError(f"max_new_tokens must be greater than 0, found {limit}")
    number = kwargs.get("num_return_sequences") or 1
    if number > 1 and not kwargs.get("do_sample") and (kwargs.get("num_beams") or 1) < number:
        raise ValueError(f"num_return_sequences={number} needs do_sample=True, or as many num_beams")
    return int(number)


def read_return_type(return_type: Any, return_full_text: Any, return_tensors: Any, default: str | None) -> str | None:
    """Return `full`, `new`, `tensors`, or None for the default.

    Raises:
        ValueError: `return_full_text` and `return_tensors` are both given.
    """
    if return_full_text is not None and return_type is None:
        if return_tensors is not None:
            raise ValueError("return_full_text and return_tensors cannot be given together")
        return "full" if return_full_text else "new"
    if return_tensors is not None and return_type is None:
        return "tensors"  # also for return_tensors=False, as in the real pipeline
    return default if return_type is None else {0: "tensors", 1: "new", 2: "full"}.get(return_type, "new")


def generation_arguments(generate_kwargs: Any, max_new_tokens: Any, stop_sequence: Any) -> dict[str, Any] | None:
    """Return the arguments of generation of a call; None where it has none.

    Raises:
        ValueError: `max_new_tokens` is given twice.
        TypeError: `generate_kwargs` is no dict.
    """
    found = None if generate_kwargs is None else {**generate_kwargs}
    if stop_sequence is not None:
        found = {**(found or {}), "stop_strings": stop_sequence}
    if max_new_tokens is not None:
        if found and "max_new_tokens" in found:
            raise ValueError("max_new_tokens is given twice: in generate_kwargs, and as an argument")
        found = {**(found or {}), "max_new_tokens": max_new_tokens}
    return found


def chat_prompt(chat: Chat, facts: ModelFacts) -> Prompt:
    """Return a chat as a prompt.

    Raises:
        ValueError: the model's folder has no chat template, or an image of the chat cannot be read.
    """
    if facts.folder is not None and not _has_chat_template(facts):
        raise ValueError("the model's processor has no chat template: pass texts instead of messages")
    texts, digests = [], []
    for message in chat.messages:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content:
            if part.get("type") == "text":
                texts.append(part["text"])
            given = next((part[name] for name in ("image", "url", "path", "base64") if name in part), None)
            if part.get("type") == "image" and given is not None:
                image = read_image(given)
                digests.append(image.digest)
                texts.extend(image.names)
    return Prompt((chat,), Seen(chat.messages, tuple(texts), tuple(digests)))


def check_placeholders(text: Any, token: str | None, number: int | None, kind: str) -> None:
    """Raise ValueError unless the texts have as many placeholders as there are images or sounds.

    Args:
        text: one text or several.
        token: the placeholder; None where the model has none.
        number: how many came beside the texts; None for none at all.
        kind: what they are, for the message.
    """
    if token is None:
        return
    found = sum(part.count(token) for part in ([text] if isinstance(text, str) else text))
    if number is None and found:
        raise ValueError(f"there are {found} {token} in the text, but no {kind}")
    if number is not None and found != number:
        raise ValueError(f"there are {found} {token} in the text, but {number} of {kind}")


def _has_chat_template(facts: ModelFacts) -> bool:
    assert facts.folder is not None  # noqa: S101 (the caller has checked it)
    names = ("chat_template.jinja", "chat_template.json")
    return any((facts.folder / name).is_file() for name in names) or "chat_template" in facts.read_file(
        "tokenizer_config.json"
    )


def _texts_of(chat: Chat) -> list[str]:
    """Return the texts of a chat, and the names of what else is in it."""
    found: list[str] = []
    for message in chat.messages:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        found.append(str(message["role"]))
        found += [str(value) for part in parts for value in part.values() if not is_pillow_image(value)]
    return found


def _joined(text: Any, new: str, continue_final_message: Any) -> Any:
    """Return the prompt and the new text as one text, or as one chat."""
    if not isinstance(text, Chat):
        return text + new
    last = text.messages[-1]
    if continue_final_message is None:
        continue_final_message = last["role"] == "assistant"
    if not continue_final_message:
        return [*text.messages, {"role": "assistant", "content": new}]
    # The real pipeline takes the last message's content for a list of parts: AttributeError if it is a text.
    part = dict(last["content"][-1].items())
    part["text"] += new
    return [*list(text.messages)[:-1], {"role": last["role"], "content": [*last["content"][:-1], part]}]
