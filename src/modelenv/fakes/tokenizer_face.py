"""What a fake shows as its `tokenizer`: what the files of the model's folder say, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from modelenv.fakes.tokens import KINDS, Layout, TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakeTokenizer:
    """Special tokens (`mask_token`, `mask_token_id`, …), lengths, and the ways between text and token ids.

    It cannot be called: what a model takes is of no use to a fake.

    Attributes:
        name_or_path: the model's name.
        model_max_length: the longest input in tokens; a very large number where the files name none.
        padding_side: `left` or `right`.
        is_fast: always True.
    """

    is_fast = True

    def __init__(self, tokenizer: TextTokenizer, name: str) -> None:
        self._tokenizer = tokenizer
        self.name_or_path = name
        self.model_max_length = tokenizer.model_max_length
        self.padding_side = tokenizer.padding_side
        for kind in KINDS:
            setattr(self, kind, tokenizer.special.get(kind))
            setattr(self, f"{kind}_id", tokenizer.id_of_special(kind))

    def __len__(self) -> int:
        return self._tokenizer.size()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of the tokens of `text`."""
        [row] = self._tokenizer.encode([text], Layout(), add_special=add_special_tokens, is_split=False)
        return row.ids

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of `text`."""
        [row] = self._tokenizer.encode([text], Layout(), add_special=False, is_split=False)
        return row.tokens

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of token ids."""
        return self._tokenizer.decode(token_ids, skip_special=skip_special_tokens)

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int | None] | None:
        """Return the id of a token, or the ids of several; for an unknown one that of the unknown token."""
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
            f"the tokenizer of a fake has no {name!r}: it knows what tokenizer.json says. If the code under test "
            "needs it, mark the test with @pytest.mark.integration and run pytest with --real-models"
        )
