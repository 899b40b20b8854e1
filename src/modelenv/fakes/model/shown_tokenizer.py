"""The `tokenizer` of a fake. It has only what the files in the model's folder contain."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NoReturn

from modelenv.fakes.model.chat_templates import read_template, render
from modelenv.fakes.model.text_tokenizers import KINDS, Layout, TextTokenizer
from modelenv.fakes.parts import NEEDS_REAL_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.fakes.model.facts import ModelFacts

_SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")  # the clean-up in its order


class FakeTokenizer:
    """Special tokens (`mask_token`, `mask_token_id`, …), lengths, and conversion between text and token ids.

    It cannot be called, because the model's class decides which arrays it returns, and a fake does not know it.

    Attributes:
        name_or_path: The model's name.
        model_max_length: The maximum length of an input in tokens. It is a very large number if no file contains it.
        padding_side: `left` or `right`.
        is_fast: Whether it knows the offsets of its tokens in the text.
    """

    def __init__(self, tokenizer: TextTokenizer, facts: ModelFacts) -> None:
        self._tokenizer = tokenizer
        self._facts = facts
        self.name_or_path = facts.name
        self.is_fast = tokenizer.is_fast
        self.model_max_length = tokenizer.model_max_length
        self.padding_side = tokenizer.padding_side
        for kind in KINDS:
            setattr(self, kind, tokenizer.special.get(kind))
            setattr(self, f"{kind}_id", tokenizer.id_of_special(kind))

    def __len__(self) -> int:
        return self._tokenizer.size()

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary, without added tokens."""
        return self._tokenizer.size(added=False)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise TypeError with an explanation."""
        raise TypeError(
            "the tokenizer of a fake cannot be called, because the model's files do not contain which arrays it "
            "returns. Use encode"
        )

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of the tokens of `text`."""
        [row] = self._tokenizer.encode([text], Layout(), add_special=add_special_tokens, is_split=False)
        return row.ids

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of `text`."""
        [row] = self._tokenizer.encode([text], Layout(), add_special=False, is_split=False)
        return row.tokens

    def decode(
        self,
        token_ids: Any,
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Return the text of one token id, or of several in a list, an array or a tensor."""
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        text = self._tokenizer.decode([ids] if isinstance(ids, int) else ids, skip_special=skip_special_tokens)
        cleans = clean_up_tokenization_spaces
        if cleans is None:
            cleans = self._facts.read_file("tokenizer_config.json").get("clean_up_tokenization_spaces")
        for spaced in _SPACED if cleans and not self._tokenizer.is_bpe else ():
            text = text.replace(spaced, spaced.strip())
        return text

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, Any]],
        *,
        tokenize: bool = True,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        **variables: Any,
    ) -> str:
        """Return the prompt of one chat. It needs `tokenize=False`.

        Raises:
            TypeError: `tokenize` is true, so that the result would be that of a call.
            ValueError: There is no chat template, or the arguments contradict each other.
            ImportError: jinja2 is not installed.
        """
        if tokenize:
            raise TypeError("a fake can only render a chat template as text: pass tokenize=False")
        if add_generation_prompt and continue_final_message:
            raise ValueError("add_generation_prompt and continue_final_message exclude each other")
        if read_template(self._facts) is None and variables.get("chat_template") is None:
            raise ValueError("the tokenizer has no chat template")
        importlib.import_module("jinja2")
        return render(
            self._facts, conversation, continues=continue_final_message, begins=add_generation_prompt, **variables
        )

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int | None] | None:
        """Return the id of a token, or the ids of several. An unknown token has the id of the unknown token."""
        if not isinstance(tokens, str):
            return [self._id(token) for token in tokens]
        return self._id(tokens)

    def _id(self, token: str) -> int | None:
        found = self._tokenizer.id_of(token)
        return self._tokenizer.id_of_special("unk_token") if found is None else found

    def __repr__(self) -> str:
        return f"FakeTokenizer({self.name_or_path!r}, {self._tokenizer.special})"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"the tokenizer of a fake has no {name!r}: it has only the content of tokenizer.json. If the code under "
            f"test needs it, {NEEDS_REAL_MODEL}"
        )
