"""Text models: the widths of their features, their maximum lengths, and tokenizers without offsets."""

from __future__ import annotations

from typing import Any

from modelenv.tiny.text import bert_tokenizer
from modelenv.tiny.vocabulary import byte_tokenizer, vocabulary_size

from ..structure import describe
from .architecture import Architecture, Processor, labelled, small, two_sided

_WORDS = Processor(make=bert_tokenizer)
_BYTES = Processor(make=byte_tokenizer)
_CHARACTERS = Processor("CanineTokenizer")
_SIZE = 512  # of the vocabulary, larger than those of all these tokenizers
_N = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": _SIZE}
_CANINE = small(num_hash_functions=4, num_hash_buckets=64, local_transformer_stride=8, max_position_embeddings=64)
_TEXTS = {"short": "hello there", "long": "a " * 90}
_LONG, _BOTH = ("long",), ("short", "long")


def _small(**values: Any) -> dict[str, Any]:
    return small(vocab_size=_SIZE, max_position_embeddings=64, **values)


def _features(
    kind: str, head: str, tokenizer: Processor, config: dict[str, Any], *, refuses: tuple[str, ...] = ()
) -> tuple[Architecture, ...]:
    return tuple(
        Architecture("feature-extraction", f"{kind}, {length} text", kind, head, config, (tokenizer,),
                     lambda text=text: text, refuses=length in refuses)
        for length, text in _TEXTS.items()
    )  # fmt: skip


FEATURES = tuple(
    one
    for each in (
        _features("bert", "BertModel", _WORDS, _small(), refuses=_LONG),
        _features("distilbert", "DistilBertModel", _WORDS, {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16,
                  "vocab_size": _SIZE, "max_position_embeddings": 64}, refuses=_LONG),
        _features("electra", "ElectraModel", _WORDS, _small(embedding_size=8), refuses=_LONG),
        _features("roberta", "RobertaModel", _BYTES, _small(), refuses=_LONG),
        _features("xmod", "XmodModel", _BYTES, _small(languages=["en_XX"], default_language="en_XX"), refuses=_LONG),
        _features("luke", "LukeModel", _BYTES, _small(entity_vocab_size=10, entity_emb_size=8), refuses=_LONG),
        _features("bert-generation", "BertGenerationEncoder", _BYTES, _small(), refuses=_LONG),
        _features("splinter", "SplinterModel", _WORDS, _small(), refuses=_LONG),
        _features("xlm", "XLMModel", _WORDS, {"emb_dim": 16, "n_layers": 1, "n_heads": 2, "vocab_size": _SIZE,
                  "max_position_embeddings": 64}, refuses=_LONG),
        _features("reformer", "ReformerModel", _WORDS, {"hidden_size": 16, "num_attention_heads": 2,
                  "attention_head_size": 8, "attn_layers": ["local"], "axial_pos_embds": False,
                  "feed_forward_size": 16, "vocab_size": _SIZE, "is_decoder": False}),
        _features("funnel", "FunnelModel", _WORDS, {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 16,
                  "block_sizes": [1, 1], "vocab_size": _SIZE}),
        _features("gpt2", "GPT2Model", _BYTES, _N, refuses=_LONG),
        _features("opt", "OPTModel", _BYTES, {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                  "ffn_dim": 16, "word_embed_proj_dim": 8, "max_position_embeddings": 64, "vocab_size": _SIZE},
                  refuses=_LONG),
        _features("gpt_neox", "GPTNeoXModel", _BYTES, _small()),
        _features("mamba", "MambaModel", _BYTES, {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4,
                  "vocab_size": _SIZE}),
        _features("bart", "BartModel", _BYTES, {"vocab_size": _SIZE, "max_position_embeddings": 64, **two_sided()},
                  refuses=_LONG),
        _features("t5", "T5Model", _BYTES, {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2,
                  "vocab_size": _SIZE, "decoder_start_token_id": 0}, refuses=_BOTH),
        _features("perceiver", "PerceiverModel", Processor("PerceiverTokenizer"), {"d_latents": 8, "num_latents": 4,
                  "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 1, "num_self_attention_heads": 2,
                  "num_cross_attention_heads": 2, "max_position_embeddings": 64}, refuses=_BOTH),
        _features("canine", "CanineModel", _CHARACTERS, _CANINE, refuses=_LONG),
    )
    for one in each
)  # fmt: skip


def _kinds(answer: Any) -> str:
    """Describe entities by their kinds, because random weights decide which are found."""
    return " or ".join(sorted({describe(entity) for entity in answer}))


_TAGS = labelled("B-PER", "I-PER", "B-LOC")  # without O, so that every token is an entity
SLOW = (
    Architecture(
        "token-classification", "canine", "canine", "CanineForTokenClassification", {**_CANINE, **_TAGS},
        (_CHARACTERS,), lambda: "Sarah lives in York",
        (*({"aggregation_strategy": strategy} for strategy in ("none", "simple", "first", "average", "max")),
         {"stride": 2, "aggregation_strategy": "simple"}, {"stride": 2, "aggregation_strategy": "none"}),
        _kinds, by_lock=True,
    ),
    Architecture(
        "token-classification", "canine, counted", "canine", "CanineForTokenClassification", {**_CANINE, **_TAGS},
        (_CHARACTERS,), lambda: "Sarah lives in York", describe=describe, by_lock=True,
    ),
    Architecture(
        "token-classification", "canine, words", "canine", "CanineForTokenClassification", {**_CANINE, **_TAGS},
        (_CHARACTERS,), lambda: ["Sarah", "lives"], ({"is_split_into_words": True},), _kinds, refuses=True,
        by_lock=True,
    ),
)  # fmt: skip
ARCHITECTURES = (*FEATURES, *SLOW)
assert vocabulary_size() <= _SIZE
