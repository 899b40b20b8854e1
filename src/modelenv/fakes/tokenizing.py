"""Which inputs a tokenizer of transformers takes as text, and what it raises for the others.

From `PreTrainedTokenizerBase.__call__` of transformers 5.23, and from what its fast tokenizers do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WORDS = re.compile(r"\w+|[^\w\s]")
_PADDING = ("longest", "max_length", "do_not_pad")
_TRUNCATION = ("only_first", "only_second", "longest_first", "do_not_truncate")


def read_text(item: Any, tokenizer_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the text, or the pair of texts, of one input of a text pipeline.

    Raises:
        ValueError, TypeError, IndexError: where the real pipeline raises the same class.
    """
    if type(item) is str and not tokenizer_kwargs:
        return (_checked(item),)
    if isinstance(item, dict):
        return _tokenize(**item, return_tensors="pt", **tokenizer_kwargs)
    if isinstance(item, list):
        if len(item) == 1 and isinstance(item[0], list) and len(item[0]) == 2:
            return _tokenize(text=item[0][0], text_pair=item[0][1], return_tensors="pt", **tokenizer_kwargs)
        raise ValueError(
            "a list inside a list is no input of a text pipeline; for a pair of texts write "
            '{"text": "…", "text_pair": "…"}'
        )
    return _tokenize(item, return_tensors="pt", **tokenizer_kwargs)


def _tokenize(
    text: Any = None,
    text_pair: Any = None,
    text_target: Any = None,
    *,
    return_tensors: str,  # unused: a second one must raise TypeError, as in the real call
    padding: Any = False,
    truncation: Any = None,
    **_: Any,
) -> tuple[str, ...]:
    if text is None and text_target is None:
        raise ValueError("the input has no text: give a string, or a dict with the key 'text'")
    if not isinstance(padding, bool) and padding not in _PADDING:
        raise ValueError(f"padding must be True, False or one of {', '.join(_PADDING)}, found {padding!r}")
    if truncation is not None and not isinstance(truncation, bool) and truncation not in _TRUNCATION:
        raise ValueError(f"truncation must be a bool or one of {', '.join(_TRUNCATION)}, found {truncation!r}")
    pads = padding not in (False, "do_not_pad")
    if text is None:
        return _encode(text_target, None, pads)  # the pair of a target has another name
    texts = _encode(text, text_pair, pads)
    if text_target is not None:
        raise ValueError("text and text_target cannot be given together to a classifier")
    return texts


def _encode(text: Any, text_pair: Any, pads: bool) -> tuple[str, ...]:
    """Return the first row of the batch that the tokenizer makes: the pipeline answers that one alone."""
    _check_text(text)
    if text_pair is not None:
        _check_text(text_pair)
    if isinstance(text, str):
        return _row((text, text_pair) if text_pair else text)
    rows = [_row(row) for row in _paired(text, text_pair)]
    if not rows:
        raise IndexError("the input holds no text")
    if not pads and len({_width(row) for row in rows}) > 1:
        raise ValueError("texts of different lengths in a tuple make no tensor: pass a list, or padding=True")
    return rows[0]


def _check_text(text: Any) -> None:
    """Let through what the tokenizer's own check lets through: it looks at the first element only."""
    first = text
    for _ in range(3):
        if isinstance(first, str) or (isinstance(first, (list, tuple)) and not first):
            return
        if not isinstance(first, (list, tuple)):
            break
        first = first[0]
    if not isinstance(first, str):
        # The real tokenizer raises ValueError where TypeError would be expected.
        raise ValueError(f"a text must be a string, found {type(first).__name__}: {first!r}")  # noqa: TRY004


def _paired(text: Sequence[Any], text_pair: Any) -> list[Any]:
    if text_pair is None:
        return list(text)
    if isinstance(text_pair, str):
        raise TypeError("for a list of texts, text_pair must be a list of the same length")
    if len(text) != len(text_pair):
        raise ValueError(f"there are {len(text)} texts, but {len(text_pair)} in text_pair")
    return list(zip(text, text_pair, strict=True))


def _row(row: Any) -> tuple[str, ...]:
    if isinstance(row, str):
        return (_checked(row),)
    if isinstance(row, (list, tuple)) and len(row) == 2 and all(isinstance(text, str) for text in row):
        return _checked(row[0]), _checked(row[1])
    raise TypeError(f"a text must be a string or a pair of strings, found {row!r}")


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TypeError(f"the text is not valid Unicode: {error}") from error
    return text


def _width(row: tuple[str, ...]) -> int:
    """Count words and marks: without a vocabulary nothing closer to the number of tokens is known."""
    return sum(len(_WORDS.findall(text)) + 1 for text in row)
