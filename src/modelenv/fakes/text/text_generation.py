"""The fake of `TextGenerationPipeline` (`transformers/pipelines/text_generation.py`, 5.24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes.base import Chat, FakePipeline
from modelenv.fakes.model.chat_templates import render
from modelenv.fakes.model.facts import ModelFacts
from modelenv.fakes.scripting import Pattern, Script, When
from modelenv.fakes.text.generating import GENERATION_CONFIG, Generation, read_generation, split_generation
from modelenv.fakes.text.tokenized_inputs import check_positions, tokenize
from modelenv.fakes.text.writing import NewText, draw_text, given_text, stream

_OF_CHATS = frozenset({"add_generation_prompt", "continue_final_message", "return_dict", "return_tensors"})
_RETURN_TYPES = ("TENSORS", "NEW_TEXT", "FULL_TEXT")


@dataclass(frozen=True)
class _Prompt:
    source: Any  # the text or Chat
    texts: tuple[str, ...]  # the texts that rules match
    ids: list[int]
    generation: Generation
    continues: bool


class WhenPrompted(When):
    """A rule for a text generator."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, *texts: str) -> None:
        """Answer every matching prompt with this text. A call for several answers gets the texts in turn.

        The text is what the model generates: in the full text it follows the prompt, in a chat it is the assistant's
        message. It is returned in full, regardless of `max_new_tokens`.

        Raises:
            ConfigurationError: There is no text, or one of the arguments is not a text.
        """
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ConfigurationError(
                "a text generator can only return texts",
                model=self._facts.name,
                expected="one text, or several",
                found=repr(texts),
                hint='write fake.when("capital of France").returns(" is Paris.")',
            )
        self._add(texts)


class FakeTextGenerationPipeline(FakePipeline):
    """Continues texts and chats with plain words, chosen by a hash of the model's name and the prompt.

    If a call allows up to 64 new tokens, it gets that many, otherwise 24. With the model's folder, the tokens are
    those of its tokenizer, and chats are rendered with its chat template, if jinja2 is installed.
    """

    __slots__ = ("_generate_kwargs",)
    _pads_batches = True

    def __init__(self, task: str, facts: ModelFacts, pipeline_kwargs: Mapping[str, Any]) -> None:
        self._generate_kwargs, rest = split_generation(pipeline_kwargs)
        super().__init__(task, facts, rest)

    def when(self, pattern: Pattern) -> WhenPrompted:
        """Start a rule: `fake.when("capital of France").returns(" is Paris.")`. A chat matches if any message does.

        Raises:
            ConfigurationError: The pattern is not a text, a regular expression or a function.
        """
        return WhenPrompted(self._script, pattern, self._facts)

    def _answer(self, text_inputs: Any, **kwargs: Any) -> Any:
        return self._run(text_inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._sanitized(**kwargs)

    def _sanitized(
        self,
        return_full_text: Any = None,
        return_tensors: Any = None,
        return_text: Any = None,
        return_type: Any = None,
        clean_up_tokenization_spaces: Any = None,
        prefix: str | None = None,
        handle_long_generation: Any = None,
        stop_sequence: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        parameters = {name: value for name, value in kwargs.items() if value is not None or name in GENERATION_CONFIG}
        if prefix is not None:
            parameters["prefix"] = prefix
        if prefix:
            special = bool(kwargs.get("add_special_tokens"))
            batch = tokenize(self._tokenizer_of_model(), prefix, return_tensors="pt", add_special_tokens=special)
            parameters["prefix_length"] = batch.width
        if handle_long_generation not in (None, "hole"):
            raise ValueError(f"handle_long_generation must be None or 'hole', found {handle_long_generation!r}")
        if handle_long_generation is not None:
            parameters["makes_room"] = True
        if stop_sequence is not None:
            strings = [stop_sequence] if isinstance(stop_sequence, str) else stop_sequence
            parameters |= {"stop_strings": strings, "tokenizer": self._tokenizer_of_model()}
        kind = _return_type(return_type, return_full_text, return_text, return_tensors)
        return parameters if kind is None else {**parameters, "return_type": kind}

    def _one(self, item: Any, /, *, return_type: Any = "FULL_TEXT", **parameters: Any) -> list[dict[str, Any]]:
        [records] = self._generated([self._prompt(item, **parameters)], return_type)
        return records

    def _batch(self, items: list[Any], /, *, return_type: Any = "FULL_TEXT", **parameters: Any) -> list[Any]:
        """Answer a batch. As in the real pipeline, prompts are padded on the left to the longest."""
        prompts = [self._prompt(item, **parameters) for item in items]
        width = max(len(prompt.ids) for prompt in prompts)
        if width == 0:  # the real pipeline then returns one answer for the whole batch
            return self._generated(prompts[:1], return_type)
        if not all(prompt.ids for prompt in prompts):
            raise RuntimeError("an empty prompt cannot be padded: leave out the prompt, or batch_size")
        if len(prompts) > 1 and prompts[0].generation.is_assisted:
            raise ValueError("assisted generation does not support batches: leave out batch_size")
        padding = self._padding()
        return self._generated(
            [replace(prompt, ids=[*[padding] * (width - len(prompt.ids)), *prompt.ids]) for prompt in prompts],
            return_type,
        )

    def _padding(self) -> int:
        return self._tokenizer_of_model().id_of_special("pad_token") or 0

    def _prompt(
        self,
        item: Any,
        *,
        prefix: str = "",
        prefix_length: int = 0,
        makes_room: bool = False,
        add_special_tokens: Any = None,
        truncation: Any = None,
        padding: Any = None,
        max_length: Any = None,
        continue_final_message: Any = None,
        tokenizer_encode_kwargs: Mapping[str, Any] | None = None,
        skip_special_tokens: Any = None,
        tools: Any = None,
        documents: Any = None,
        **generate_kwargs: Any,
    ) -> _Prompt:
        given = {"add_special_tokens": add_special_tokens, "truncation": truncation, "padding": padding}
        given["max_length"] = max_length
        kwargs = {name: value for name, value in given.items() if value is not None}
        kwargs.update(tokenizer_encode_kwargs or {})
        continues = False
        if isinstance(item, Chat):
            last = item.messages[-1]["role"] == "assistant"
            continues = bool(last if continue_final_message is None else continue_final_message)
            ids = self._ids_of_chat(item, continues, tools=tools, documents=documents, **kwargs)
            texts = tuple(_text_of(message.get("content")) for message in item.messages)
        else:
            batch = tokenize(self._tokenizer_of_model(), prefix + item, return_tensors="pt", **kwargs)
            ids, texts = batch.rows[0].ids, (str(item),)
        if max_length is not None:
            generate_kwargs["max_length"] = max_length
        generation = read_generation(
            self._generate_kwargs,
            generate_kwargs,
            model=self._facts.read_file("generation_config.json"),
            kind=self._facts.config.get("model_type"),
            do_sample=True,
            temperature=0.7,
        )
        if makes_room:
            ids = self._cut(ids, generation.most(len(ids)))
        if prefix_length and generation.max_length is not None:
            generation = replace(generation, max_length=generation.max_length + prefix_length)
        return _Prompt(item, texts, ids, generation, continues)

    def _ids_of_chat(
        self,
        chat: Chat,
        continues: bool,
        *,
        truncation: Any = False,
        padding: Any = False,
        max_length: Any = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        add_special_tokens: Any = None,
        **variables: Any,
    ) -> list[int]:
        """Return the tokens of a chat. The template adds special tokens, and gets the remaining arguments."""
        taken = sorted(_OF_CHATS & variables.keys())
        if taken:
            raise TypeError(f"the pipeline sets these arguments itself: {', '.join(taken)}")
        text = render(self._facts, chat.messages, continues=continues, **variables)
        layout = {"truncation": truncation, "padding": padding, "max_length": max_length, "add_special_tokens": False}
        # A duplicate argument is Python's own TypeError, as in the real call.
        batch = tokenize(self._tokenizer_of_model(), text, return_tensors="pt", **layout, **(tokenizer_kwargs or {}))
        return batch.rows[0].ids

    def _cut(self, ids: list[int], number: int) -> list[int]:
        """Return the end of a prompt, so that `number` more tokens fit."""
        limit = self._tokenizer_of_model().model_max_length
        if number < 0 or (len(ids) + number > limit and limit <= number):
            raise ValueError(f"{number} new tokens do not fit into the model's {limit}")
        return ids[number - limit :] if len(ids) + number > limit else ids

    def _generated(self, prompts: Sequence[_Prompt], return_type: Any) -> list[list[dict[str, Any]]]:
        """Return the answers to prompts of the same length, which are one call of `generate`."""
        if not prompts[0].ids:  # a model then starts with the token that starts every text
            start = self._tokenizer_of_model().id_of_special("bos_token")
            if start is None:
                raise ValueError("the prompt is empty, and the tokenizer has no bos_token")
            prompts = [replace(prompt, ids=[start]) for prompt in prompts]
        generation, width = prompts[0].generation, len(prompts[0].ids)
        number = generation.new_tokens(width)
        check_positions(self._facts, width + number - 1)  # the last token is not read again
        answers = [self._answers(prompt, number) for prompt in prompts]
        stream(generation, [prompt.ids for prompt in prompts], [*chain(*answers)], self._padding())
        return [
            [_record(prompt, answer, return_type) for answer in found]
            for prompt, found in zip(prompts, answers, strict=True)
        ]

    def _answers(self, prompt: _Prompt, number: int) -> list[NewText]:
        tokenizer = self._tokenizer_of_model()
        indices = range(prompt.generation.sequences)
        scripted = self._script.find(prompt.texts) if self._script.rules else None
        if scripted is not None:
            return [given_text(tokenizer, scripted[index % len(scripted)]) for index in indices]
        start = "" if isinstance(prompt.source, Chat) else " "
        return [
            draw_text(tokenizer, number, self._facts.name, *prompt.texts, str(index), start=start)
            for index in indices
        ]


def _record(prompt: _Prompt, answer: NewText, return_type: Any) -> dict[str, Any]:
    if return_type == "TENSORS":
        return {"generated_token_ids": [*prompt.ids, *answer.ids]}
    if return_type in _RETURN_TYPES:
        return {"generated_text": answer.text if return_type == "NEW_TEXT" else _whole(prompt, answer.text)}
    # The real pipeline uses a variable that it has not set.
    raise UnboundLocalError(f"return_type must be one of {', '.join(_RETURN_TYPES)}, found {return_type!r}")


def _return_type(return_type: Any, return_full_text: Any, return_text: Any, return_tensors: Any) -> Any:
    """Return the name of the return type, or None for the default."""
    if return_type is not None:
        return getattr(return_type, "name", return_type)
    if return_full_text is not None:
        if return_text is not None or return_tensors is not None:
            raise ValueError("return_full_text cannot be used with return_text or return_tensors")
        return "FULL_TEXT" if return_full_text else "NEW_TEXT"
    if return_tensors is None:
        return None
    if return_text is not None:
        raise ValueError("return_text cannot be used with return_tensors")
    return "TENSORS"


def _whole(prompt: _Prompt, new_text: str) -> Any:
    if not isinstance(prompt.source, Chat):
        return prompt.source + new_text if isinstance(prompt.source, str) else new_text
    messages = list(prompt.source.messages)
    if prompt.continues:
        last = {"role": messages[-1]["role"], "content": messages[-1]["content"] + new_text}
        return [*messages[:-1], last]
    return [*messages, {"role": "assistant", "content": new_text}]


def _text_of(content: Any) -> str:
    """Return the text of a message, whose content can be a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, (list, tuple)) else []
    return " ".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
