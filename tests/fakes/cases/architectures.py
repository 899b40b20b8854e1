"""Changes a copy of a tiny model into a model of another architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
_BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 64,
}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
_SIZES: dict[str, dict[str, Any]] = {
    "gpt2": _GPT2,
    "bart": _BART,
    "t5": _T5,
    "albert": {**_SMALL, "embedding_size": 16, "max_position_embeddings": 64},
    "llama": {**_SMALL, "num_key_value_heads": 2},
}


def architecture(kind: str, head: str, **values: Any) -> Callable[[Path], None]:
    """Return a function that replaces a folder's model by one of this kind and class, with random weights."""

    def edit(folder: Path) -> None:
        import torch
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), **{**_SIZES[kind], **values})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            getattr(transformers, head).from_config(config).eval().save_pretrained(folder)

    return edit
