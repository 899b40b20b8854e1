"""The tokenizer of the tiny models with text and an image or a sound. The tokens of a text are its bytes."""

from __future__ import annotations

from typing import Any

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<audio>")
_ROLES = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def byte_tokenizer(*, maximum: int = 512, chat_template: str | None = None, add_special_tokens: bool = True) -> Any:
    """Return a fast tokenizer whose vocabulary is the special tokens and the 256 bytes.

    Args:
        maximum: The model's number of positions.
        chat_template: A Jinja template for chats, or None.
        add_special_tokens: Whether a text is put between `<s>` and `</s>`.
    """
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *alphabet))}
    backend = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if add_special_tokens:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> $B:1 </s>:1",
            special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=maximum,
        **_ROLES,
        extra_special_tokens={"image_token": "<image>", "audio_token": "<audio>"},
        chat_template=chat_template,
    )


def vocabulary_size() -> int:
    """Return the number of tokens in the vocabulary of `byte_tokenizer`."""
    return len(SPECIAL_TOKENS) + 256
