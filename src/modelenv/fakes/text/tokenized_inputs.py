"""Tokenizes the inputs that a tokenizer of transformers accepts as text, and raises its errors for all others.

It follows `PreTrainedTokenizerBase.__call__` and the fast tokenizers of transformers 5.24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.fakes.model.text_tokenizers import NO_LIMIT, Layout, Row, TextTokenizer, checked

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts

_PADDING = ("longest", "max_length", "do_not_pad")
_SPECIAL_TOKENS = 4  # at most, around a text
_TRUNCATION = ("only_first", "only_second", "longest_first", "do_not_truncate")


@dataclass(frozen=True)
class Batch:
    """The texts or pairs of one input, and a row of tokens for each.

    With `return_overflowing_tokens` there can be more rows than texts.
    """

    texts: list[tuple[str, ...]]
    rows: list[Row]

    @property
    def width(self) -> int:
        """The number of tokens of every row."""
        return len(self.rows[0])


def read_text(
    item: Any, tokenizer_kwargs: Mapping[str, Any], tokenizer: Callable[[], TextTokenizer], facts: ModelFacts
) -> tuple[str, ...]:
    """Return the text, or the pair of texts, of one input of a text classifier.

    Args:
        item: The input.
        tokenizer_kwargs: The arguments that the real pipeline passes to its tokenizer.
        tokenizer: Returns the tokenizer. It is not called for a text that is short enough in any case.
        facts: The facts of the model.

    Raises:
        ValueError, TypeError, IndexError, RuntimeError: The real pipeline raises the same class.
    """
    if type(item) is str and not tokenizer_kwargs and _surely_fits(item, facts):
        return _row(item)
    if isinstance(item, dict):
        batch = tokenize(tokenizer(), **item, return_tensors="pt", **tokenizer_kwargs)
    elif isinstance(item, list):
        if not (len(item) == 1 and isinstance(item[0], list) and len(item[0]) == 2):
            raise ValueError(
                "a list inside a list is not an input of a text pipeline; for a pair of texts write "
                '{"text": "…", "text_pair": "…"}'
            )
        text, pair = item[0]
        batch = tokenize(tokenizer(), text=text, text_pair=pair, return_tensors="pt", **tokenizer_kwargs)
    else:
        batch = tokenize(tokenizer(), item, return_tensors="pt", **tokenizer_kwargs)
    check_positions(facts, batch.width)
    return batch.texts[0]  # the pipeline answers only the first of a batch


def _surely_fits(text: str, facts: ModelFacts) -> bool:
    """Whether a text has a token, and not too many. They are not counted: a character has at most four."""
    limit = positions(facts)
    return bool(text.strip()) and (limit is None or 4 * len(text) + _SPECIAL_TOKENS <= limit)


def tokenize(
    tokenizer: TextTokenizer,
    text: Any = None,
    text_pair: Any = None,
    text_target: Any = None,
    text_pair_target: Any = None,
    *,
    return_tensors: Any,  # passing it twice must raise TypeError, as in the real call
    add_special_tokens: bool = True,
    is_split_into_words: bool = False,
    return_overflowing_tokens: bool = False,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    **layout_kwargs: Any,
) -> Batch:
    """Tokenize like `tokenizer(text, …)`, into rows of the same width.

    Raises:
        ValueError, TypeError, IndexError: The real tokenizer raises the same class.
    """
    if text is None and text_target is None:
        raise ValueError("the input has no text: pass a string, or a dict with the key 'text'")
    layout = read_layout(tokenizer, **{**layout_kwargs, **(tokenizer_kwargs or {})})
    if text is None:
        text, text_pair, text_target = text_target, text_pair_target, None
    _check_text(text)
    if text_pair is not None:
        _check_text(text_pair)
    texts, batch = _batch(text, text_pair, is_split=is_split_into_words)
    if not texts:
        raise IndexError("the input contains no text")
    if type(add_special_tokens) is not bool:
        raise TypeError(f"add_special_tokens must be a bool, found {add_special_tokens!r}")
    rows = tokenizer.encode(batch, layout, add_special=add_special_tokens, is_split=is_split_into_words)
    if return_overflowing_tokens:
        rows = [part for row in rows for part in (row, *row.overflowing)]
    if return_tensors is not None and len({len(row) for row in rows}) > 1:
        raise ValueError("texts of different lengths in a tuple cannot become a tensor: pass a list or padding=True")
    if text_target is not None:
        raise ValueError("text and text_target cannot be passed together")
    return Batch(texts, rows)


def read_layout(
    tokenizer: TextTokenizer,
    *,
    padding: Any = False,
    truncation: Any = None,
    max_length: int | None = None,
    stride: int = 0,
    pad_to_multiple_of: int | None = None,
    padding_side: str | None = None,
    **_: Any,
) -> Layout:
    """Return the strategies for these arguments (`_get_padding_truncation_strategies`).

    Raises:
        ValueError: The real tokenizer raises it too.
    """
    if max_length is not None and padding is False and truncation is None:
        truncation = "longest_first"
    padding = {True: "longest", False: "do_not_pad"}[padding] if isinstance(padding, bool) else padding
    if padding not in _PADDING:
        raise ValueError(f"padding must be True, False or one of {', '.join(_PADDING)}, found {padding!r}")
    if truncation is None or isinstance(truncation, bool):
        truncation = "longest_first" if truncation else "do_not_truncate"
    if truncation not in _TRUNCATION:
        raise ValueError(f"truncation must be a bool or one of {', '.join(_TRUNCATION)}, found {truncation!r}")
    padding, truncation = (str(getattr(name, "value", name)) for name in (padding, truncation))
    if max_length is None and (padding == "max_length" or truncation != "do_not_truncate"):
        if tokenizer.model_max_length >= NO_LIMIT:
            padding = "do_not_pad" if padding == "max_length" else padding
            truncation = "do_not_truncate"
        else:
            max_length = tokenizer.model_max_length
    if padding != "do_not_pad" and "pad_token" not in tokenizer.special:
        raise ValueError("the tokenizer has no padding token, so it cannot pad")
    cuts = truncation != "do_not_truncate" and padding != "do_not_pad"
    if cuts and pad_to_multiple_of is not None and max_length is not None and max_length % pad_to_multiple_of:
        raise ValueError(f"max_length {max_length} is not a multiple of pad_to_multiple_of {pad_to_multiple_of}")
    return Layout(padding, truncation, max_length, stride, pad_to_multiple_of, padding_side)


def positions(facts: ModelFacts) -> int | None:
    """Return the maximum number of tokens of the model, or None if it has none or it is not known."""
    kind = facts.config.get("model_type")
    limit: int | None = facts.config.get("max_position_embeddings", facts.config.get("n_positions"))
    if limit is None or kind not in _RUNTIME_ERROR | _INDEX_ERROR:
        return None
    if kind not in _AFTER_PADDING:
        return limit
    padding: int = facts.config.get("pad_token_id", 1)
    return limit - padding - 1


def check_positions(facts: ModelFacts, width: int) -> None:
    """Check that there is at least one token, and not more tokens than the model has positions.

    Raises:
        RuntimeError: There is no token. Or there are too many, and the model is BERT or similar.
        IndexError: There are too many tokens, and the model is GPT-2, BART or similar.
    """
    if width == 0:
        raise RuntimeError("the input has no tokens")
    limit = positions(facts)
    if limit is not None and width > limit:
        error = RuntimeError if facts.config["model_type"] in _RUNTIME_ERROR else IndexError
        raise error(f"the input has {width} tokens, but the model has {limit} positions: pass truncation=True")


# The error of each kind of model for more tokens than it has positions. Kinds that compute positions, such as Llama,
# accept any number.
_RUNTIME_ERROR = frozenset(
    """
    albert bert bert-generation big_bird camembert canine convbert data2vec-text deberta deberta-v2 distilbert
    electra ernie flaubert fnet layoutlm megatron-bert mobilebert mra nystromformer openai-gpt rembert roberta
    roberta-prelayernorm roc_bert splinter squeezebert xlm xlm-roberta xlm-roberta-xl xmod yoso
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
_INDEX_ERROR = frozenset(
    """
    bart bigbird_pegasus biogpt ctrl esm gpt-sw3 gpt2 gpt_bigcode ibert longformer luke markuplm mbart mluke mpnet
    mvp opt plbart roformer
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
_AFTER_PADDING = frozenset(  # their positions start after the id of the padding token
    """
    camembert data2vec-text esm ibert longformer luke markuplm mluke mpnet roberta roberta-prelayernorm xlm-roberta
    xlm-roberta-xl xmod
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)


def _batch(text: Any, text_pair: Any, *, is_split: bool) -> tuple[list[tuple[str, ...]], list[Any]]:
    """Return the texts of each row, and the batch for the tokenizers library."""
    if is_split and not (text and isinstance(text[0], (list, tuple))):
        words = [text] if text_pair is None else [(text, text_pair)]
        return [tuple(text)], words
    if isinstance(text, str):
        rows: list[Any] = [(text, text_pair)] if text_pair else [text]
    else:
        rows = _paired(text, text_pair)
    if is_split:
        return [tuple(row) for row in rows], rows
    texts = [_row(row) for row in rows]
    return texts, [row if isinstance(row, str) else tuple(row) for row in rows]


def _check_text(text: Any) -> None:
    """Raise ValueError like the tokenizer's own check, which checks only the first element."""
    first = text
    for _ in range(3):
        if isinstance(first, str) or (isinstance(first, (list, tuple)) and not first):
            return
        if not isinstance(first, (list, tuple)):
            break
        first = first[0]
    if not isinstance(first, str):
        raise ValueError(  # noqa: TRY004 - the class of the real tokenizer
            f"a text must be a string, found {type(first).__name__}: {first!r}"
        )


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
        return (checked(row),)
    if isinstance(row, (list, tuple)) and len(row) == 2 and all(isinstance(text, str) for text in row):
        return checked(row[0]), checked(row[1])
    raise TypeError(f"a text must be a string or a pair of strings, found {row!r}")
