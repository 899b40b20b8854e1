"""Tiny real models for the text tasks: real architectures and tokenizers with random weights.

Each function writes a folder that `transformers.pipeline` can load. The weights are drawn from torch's random state.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SENTIMENT_LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
ENTITY_LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
INFERENCE_LABELS = ("contradiction", "neutral", "entailment")
AGGREGATION_LABELS = ("NONE", "SUM", "AVERAGE", "COUNT")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_MARKS = (".", ",", "!", "?", "'", '"', "-", ":", ";", "(", ")", "/", "$", "%", "&", "@", "#", "*", "+", "=")
_WORDS = (
    "a", "all", "an", "and", "are", "at", "bank", "bitcoin", "capital", "city", "company", "crash", "day", "does",
    "example", "for", "france", "good", "has", "how", "in", "is", "it", "lives", "london", "many", "market", "my",
    "name", "new", "of", "on", "paris", "price", "sarah", "shares", "stars", "surge", "text", "that", "the", "this",
    "to", "was", "what", "with", "works", "year", "york", "you",
)  # fmt: skip
_PIECES = ("##ing", "##ed", "##er", "##ly", "##s")
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CHAT_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MERGED_WORDS = ("Yes", "No", "\u0120the", "\u0120a", "\u0120of", "\u0120is", "\u0120and", "\u0120user", "assistant")
_POSITIONS = 128
_LANGUAGE_MODEL_POSITIONS = 1024
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_SPREAD = 0.5  # of the weights, so that different texts have clearly different answers


def bert_vocabulary() -> list[str]:
    """Return the vocabulary of `bert_tokenizer`: some words, and every letter, so that any English text works."""
    letters = [*string.ascii_lowercase, *string.digits]
    return [*_BERT_SPECIAL, *_WORDS, *letters, *(f"##{letter}" for letter in letters), *_PIECES, *_MARKS]


def bert_tokenizer() -> Any:
    """Return a WordPiece tokenizer for texts of up to 128 tokens."""
    from transformers import BertTokenizer

    vocabulary = {token: index for index, token in enumerate(bert_vocabulary())}
    return BertTokenizer(vocab=vocabulary, model_max_length=_POSITIONS)


def chat_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer with a chat template. Yes, No and the letters are tokens."""
    from tokenizers import pre_tokenizers
    from transformers import GPT2Tokenizer

    merges: list[tuple[str, str]] = []
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    for word in _MERGED_WORDS:
        for end in range(1, len(word)):
            if word[: end + 1] not in tokens:
                merges.append((word[:end], word[end]))
                tokens.append(word[: end + 1])
    vocabulary = {token: index for index, token in enumerate((*_CHAT_SPECIAL, *tokens))}
    return GPT2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        pad_token="<|endoftext|>",  # noqa: S106 - a token in the vocabulary
        eos_token="<|im_end|>",  # noqa: S106 - a token in the vocabulary
        extra_special_tokens={"im_start_token": "<|im_start|>"},
        chat_template=CHAT_TEMPLATE,
        model_max_length=_LANGUAGE_MODEL_POSITIONS,
    )


def build_text_classification(folder: Path) -> None:
    """Write a BERT with the labels NEGATIVE, NEUTRAL and POSITIVE."""
    from transformers import BertForSequenceClassification

    _save(folder, BertForSequenceClassification(_bert(SENTIMENT_LABELS)), bert_tokenizer())


def build_token_classification(folder: Path) -> None:
    """Write a BERT with labels for persons and places."""
    from transformers import BertForTokenClassification

    _save(folder, BertForTokenClassification(_bert(ENTITY_LABELS)), bert_tokenizer())


def build_zero_shot_classification(folder: Path) -> None:
    """Write a BERT with the labels for natural language inference."""
    from transformers import BertForSequenceClassification

    _save(folder, BertForSequenceClassification(_bert(INFERENCE_LABELS)), bert_tokenizer())


def build_fill_mask(folder: Path) -> None:
    """Write a BERT that fills `[MASK]`."""
    from transformers import BertForMaskedLM

    _save(folder, BertForMaskedLM(_bert()), bert_tokenizer())


def build_feature_extraction(folder: Path) -> None:
    """Write a BERT with width 32 and without a head."""
    from transformers import BertModel

    _save(folder, BertModel(_bert()), bert_tokenizer())


def build_text_generation(folder: Path) -> None:
    """Write a Llama that generates text and answers chats."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = chat_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=_LANGUAGE_MODEL_POSITIONS,
        num_key_value_heads=2,
        initializer_range=_SPREAD,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **_SIZES,
    )
    _save(folder, LlamaForCausalLM(config), tokenizer)


build_decision = build_text_generation  # without a decision head, the logits of the labels decide


def build_table_question_answering(folder: Path) -> None:
    """Write a TAPAS that selects cells, and sums, averages or counts them. Its tokenizer needs pandas."""
    from transformers import TapasConfig, TapasForQuestionAnswering, TapasTokenizer

    tokens = [*bert_vocabulary(), "[EMPTY]"]
    config = TapasConfig(
        vocab_size=len(tokens),
        max_position_embeddings=_POSITIONS,
        type_vocab_sizes=[3, 256, 256, 2, 256, 256, 10],
        initializer_range=_SPREAD,
        num_aggregation_labels=len(AGGREGATION_LABELS),
        aggregation_labels=dict(enumerate(AGGREGATION_LABELS)),
        no_aggregation_label_index=0,
        **{**_SIZES, "hidden_size": 16, "intermediate_size": 32},
    )
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = TapasTokenizer(str(vocabulary), model_max_length=_POSITIONS, max_column_id=32, max_row_id=64)
    _save(folder, TapasForQuestionAnswering(config), tokenizer)


def _bert(labels: Sequence[str] = ()) -> Any:
    from transformers import BertConfig

    named = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    return BertConfig(
        vocab_size=len(bert_vocabulary()),
        max_position_embeddings=_POSITIONS,
        initializer_range=_SPREAD,
        **_SIZES,
        **(named if labels else {}),
    )


def _save(folder: Path, model: Any, tokenizer: Any) -> None:
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
