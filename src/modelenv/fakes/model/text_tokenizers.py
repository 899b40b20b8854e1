"""Tokenizers of fakes: the real one from a folder's `tokenizer.json`, or one of words.

The real one needs the package `tokenizers`, which is installed with transformers but imports neither it nor torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelenv.fakes import seeded

NO_LIMIT = int(1e30)  # the value in transformers for a tokenizer without model_max_length
KINDS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_WORDS = re.compile(r"\[[A-Z]+\]|<\|?[a-z_]+\|?>|\w+|[^\w\s]")


@dataclass(frozen=True)
class Layout:
    """How the rows of a batch are truncated and padded. The strategies are those of transformers."""

    padding: str = "do_not_pad"
    truncation: str = "do_not_truncate"
    max_length: int | None = None
    stride: int = 0
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None


@dataclass(frozen=True)
class Row:
    """One tokenized text or pair: the id, text, offsets and word of each token, and whether it is special."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special: list[bool]
    words: list[int | None]
    overflowing: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer(ABC):
    """The interface of a model's tokenizer that fakes need."""

    is_wordpiece = False
    is_bpe = False
    is_fast = True  # whether it knows the offsets of its tokens in the text

    def __init__(self, config: dict[str, Any]) -> None:
        self.special = {kind: text for kind in KINDS if (text := _content(config.get(kind))) is not None}
        limit = config.get("model_max_length")
        self.model_max_length: int = limit if isinstance(limit, int) else NO_LIMIT
        self.padding_side: str = config.get("padding_side") or "right"
        self.truncation_side: str = config.get("truncation_side") or "right"

    def id_of_special(self, kind: str) -> int | None:
        """Return the id of the special token of this kind (`mask_token`), or None if there is none."""
        token = self.special.get(kind)
        return None if token is None else self.id_of(token)

    @abstractmethod
    def id_of(self, token: str) -> int | None:
        """Return the id of a token in the vocabulary, or None."""

    @abstractmethod
    def encode(self, batch: Sequence[Any], layout: Layout, *, add_special: bool, is_split: bool) -> list[Row]:
        """Tokenize texts, pairs, or lists of words if `is_split`."""

    @abstractmethod
    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of these token ids."""

    @abstractmethod
    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of these tokens."""

    @abstractmethod
    def choices(self) -> Sequence[int]:
        """Return the ids that an answer can consist of: neither special nor unused tokens."""

    @abstractmethod
    def size(self, *, added: bool = True) -> int:
        """Return the number of tokens in the vocabulary, with or without added tokens."""


class FileTokenizer(TextTokenizer):
    """The model's own tokenizer, as `tokenizer.json` describes it."""

    def __init__(self, content: str, config: dict[str, Any]) -> None:
        super().__init__(config)
        from tokenizers import Tokenizer

        self._backend = Tokenizer.from_str(content)
        self._backend.no_padding()
        self._backend.no_truncation()
        described = json.loads(content)
        self.is_wordpiece = bool(described["model"].get("continuing_subword_prefix"))
        self.is_bpe = described["model"].get("type") == "BPE"
        self._special_ids = {token["id"] for token in described["added_tokens"] if token["special"]}

    def id_of(self, token: str) -> int | None:
        """Return the id of a token in the vocabulary, or None."""
        found: int | None = self._backend.token_to_id(token) if isinstance(token, str) else None
        return found

    def encode(self, batch: Sequence[Any], layout: Layout, *, add_special: bool, is_split: bool) -> list[Row]:
        """Tokenize texts, pairs, or lists of words if `is_split`."""
        self._arrange(layout)
        encodings = self._backend.encode_batch(batch, add_special_tokens=add_special, is_pretokenized=is_split)
        return [_row(encoding) for encoding in encodings]

    def _arrange(self, layout: Layout) -> None:
        if layout.truncation == "do_not_truncate":
            self._backend.no_truncation()
        else:
            self._backend.enable_truncation(
                max_length=layout.max_length or 0,
                stride=layout.stride,
                strategy=layout.truncation,
                direction=self.truncation_side,
            )
        if layout.padding == "do_not_pad":
            self._backend.no_padding()
        else:
            self._backend.enable_padding(
                length=layout.max_length if layout.padding == "max_length" else None,
                direction=layout.padding_side or self.padding_side,
                pad_id=self.id_of_special("pad_token"),
                pad_token=self.special["pad_token"],
                pad_to_multiple_of=layout.pad_to_multiple_of,
            )

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of these token ids."""
        text: str = self._backend.decode(ids, skip_special_tokens=skip_special)
        return text

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of these tokens."""
        decoder = self._backend.decoder
        text: str = " ".join(tokens) if decoder is None else decoder.decode(list(tokens))
        return text

    def choices(self) -> Sequence[int]:
        """Return the ids that an answer can consist of."""
        return sorted(set(self._backend.get_vocab().values()) - self._special_ids)

    def size(self, *, added: bool = True) -> int:
        """Return the number of tokens in the vocabulary, with or without added tokens."""
        number: int = self._backend.get_vocab_size(with_added_tokens=added)
        return number


def _row(encoding: Any) -> Row:
    special = [bool(mark) for mark in encoding.special_tokens_mask]
    rest = [_row(part) for part in encoding.overflowing]
    return Row(encoding.ids, encoding.tokens, encoding.offsets, special, encoding.word_ids, rest)


class WordTokenizer(TextTokenizer):
    """Makes each word and each punctuation mark a token, between the special tokens of BERT or RoBERTa.

    A token's id is derived from its text. `decode` knows only tokens that it has seen before.
    """

    is_wordpiece = True
    _parts = _WORDS

    def __init__(self, config: dict[str, Any], size: int) -> None:
        super().__init__(config)
        self._size = size
        self._tokens: dict[int, str] = {}
        self._choices = [self._learn(word) for word in sorted(set(seeded.words(500, "vocabulary")))]

    def _learn(self, token: str) -> int:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        first = min(1000, self._size // 2)  # the ids below are those of the special tokens
        found = first + int.from_bytes(digest[:6]) % (self._size - first)
        self._tokens[found] = token
        return found

    def id_of(self, token: str) -> int | None:
        """Return the id of a token in the vocabulary, or None."""
        names = list(self.special.values())
        return names.index(token) if token in names else self._learn(token)

    def encode(self, batch: Sequence[Any], layout: Layout, *, add_special: bool, is_split: bool) -> list[Row]:
        """Tokenize texts, pairs, or lists of words if `is_split`."""
        rows = [self._row(item, layout, add_special=add_special, is_split=is_split) for item in batch]
        if layout.padding == "do_not_pad":
            return rows
        width = layout.max_length if layout.padding == "max_length" else max(map(len, rows), default=0)
        step = layout.pad_to_multiple_of or 1
        return [self._padded(row, -(-(width or 0) // step) * step, layout) for row in rows]

    def _row(self, item: Any, layout: Layout, *, add_special: bool, is_split: bool) -> Row:
        parts = [item] if is_split or isinstance(item, str) else list(item)
        cells: list[tuple[str, tuple[int, int], bool, int | None]] = []
        if add_special:
            cells.append((self.special.get("cls_token", "[CLS]"), (0, 0), True, None))
        for part in parts:
            texts = list(part) if is_split else [part]
            for number, text in enumerate(texts):
                for index, match in enumerate(self._parts.finditer(checked(text))):
                    cells.append((match.group(), match.span(), False, number if is_split else index))
            if add_special:
                cells.append((self.special.get("sep_token", "[SEP]"), (0, 0), True, None))
        if layout.truncation != "do_not_truncate" and layout.max_length is not None:
            cells = _cut(cells, layout.max_length, tail=1 if add_special else 0)
        ids = [self.id_of(cell[0]) or 0 for cell in cells]
        return Row(
            ids, [cell[0] for cell in cells], [cell[1] for cell in cells], [cell[2] for cell in cells],
            [cell[3] for cell in cells],
        )  # fmt: skip

    def _padded(self, row: Row, width: int, layout: Layout) -> Row:
        missing = max(0, width - len(row))
        name = self.special["pad_token"]
        index = self.id_of(name) or 0
        fills: tuple[list[Any], ...] = (
            [index] * missing, [name] * missing, [(0, 0)] * missing, [True] * missing, [None] * missing,
        )  # fmt: skip
        columns: tuple[list[Any], ...] = (row.ids, row.tokens, row.offsets, row.special, row.words)
        left = (layout.padding_side or self.padding_side) == "left"
        return Row(*[
            fill + column if left else column + fill for column, fill in zip(columns, fills, strict=True)
        ])  # fmt: skip

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of these token ids."""
        names = list(self.special.values())
        known = [names[index] if index < len(names) else self._tokens.get(index, "") for index in ids]
        return self.join([token for token in known if not (skip_special and token in names)])

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of these tokens."""
        return re.sub(r" ([.,!?;:'])", r"\1", " ".join(tokens))

    def choices(self) -> Sequence[int]:
        """Return the ids that an answer can consist of."""
        return self._choices

    def size(self, *, added: bool = True) -> int:
        """Return the number of tokens in the vocabulary. There are no added tokens."""
        return self._size


def _cut(cells: list[Any], length: int, *, tail: int) -> list[Any]:
    return cells if len(cells) <= length else cells[: max(0, length - tail)] + cells[len(cells) - tail :]


def checked(text: str) -> str:
    """Return the text if it is valid.

    Raises:
        TypeError: It contains half a surrogate pair, which is not valid Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TypeError(f"the text is not valid Unicode: {error}") from error
    return text


def _content(token: Any) -> str | None:
    """Return the text of a special token, which can be an object in a file."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None
