"""Checks the arguments of `generate` like transformers 5.24, and computes how many tokens it generates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GENERATION_CONFIG = frozenset(
    """
    assistant_confidence_threshold assistant_early_exit assistant_ensemble_weight assistant_lookbehind bad_words_ids
    begin_suppress_tokens bos_token_id cache_config cache_implementation compile_config constraints
    continuous_batching_config decoder_start_token_id disable_compile diversity_penalty do_sample dola_layers
    early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty eos_token_id epsilon_cutoff eta_cutoff
    exponential_decay_length_penalty force_words_ids forced_bos_token_id forced_eos_token_id guidance_scale
    is_assistant length_penalty low_memory max_cache_len max_length max_matching_ngram_size max_new_tokens max_time
    min_length min_new_tokens min_p no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule
    num_beam_groups num_beams num_return_sequences output_attentions output_hidden_states output_logits output_scores
    pad_token_id penalty_alpha prefill_chunk_size prompt_lookup_num_tokens remove_invalid_values renormalize_logits
    repetition_penalty return_dict_in_generate sequence_bias speculation_type stop_strings suppress_tokens
    target_lookbehind temperature token_healing top_h top_k top_p transformers_version typical_p use_cache use_mtp
    watermarking_config
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
"""The attributes of `GenerationConfig`. A test compares them with the installed version."""

_OF_GENERATE = frozenset(
    [
        "assistant_model",
        "assistant_tokenizer",
        "custom_generate",
        "generation_config",
        "logits_processor",
        "negative_prompt_attention_mask",
        "negative_prompt_ids",
        "position_ids",
        "prefix_allowed_tokens_fn",
        "stopping_criteria",
        "streamer",
        "synced_gpus",
        "tokenizer",
    ]
)
_DEFAULT_NEW_TOKENS = 256  # of the pipelines that generate text
_USUAL_NEW_TOKENS = 24  # a real model ends by itself; a fake ends after this number if a call allows more than _EXACT
_EXACT = 64  # up to this number, all allowed tokens are generated, because a test can count so few
_TOP_K = 50  # the default of `generate`
_ASSISTANTS = ("assistant_model", "assistant_early_exit", "prompt_lookup_num_tokens")
_STATEFUL = frozenset(
    """
    bamba falcon_h1 falcon_mamba granitemoehybrid jamba kimi_linear mamba mamba2 nemotron_h olmo_hybrid qwen3_5
    qwen3_5_moe qwen3_next recurrent_gemma rwkv xlstm zamba zamba2
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
_CACHES = frozenset(
    """
    dynamic hybrid hybrid_chunked offloaded offloaded_hybrid offloaded_hybrid_chunked offloaded_static paged quantized
    sliding_window static
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)


@dataclass(frozen=True)
class Generation:
    """The settings that decide how much is generated.

    Attributes:
        sequences: The number of answers to each input.
        max_new_tokens: The maximum number of tokens of an answer, or None if it is not set.
        max_length: The maximum number of tokens of prompt and answer, or None if it is not set.
        min_new_tokens: The minimum number of tokens of an answer.
        is_assisted: Whether generation is assisted (speculative). It then does not support batches.
        beams: The number of beams.
        streamer: The object that receives the tokens as they are generated, or None.
    """

    sequences: int
    max_new_tokens: int | None
    max_length: int | None
    min_new_tokens: int
    is_assisted: bool = False
    beams: int = 1
    streamer: Any = None

    def new_tokens(self, prompt_length: int) -> int:
        """Return the number of tokens to generate after a prompt.

        Raises:
            ValueError: The prompt already has `max_length` tokens.
        """
        limit = self.most(prompt_length)
        if limit <= 0:
            raise ValueError(
                f"the input has {prompt_length} tokens, but max_length is {self.max_length}: set max_new_tokens"
            )
        return limit if limit <= _EXACT else max(_USUAL_NEW_TOKENS, min(limit, self.min_new_tokens))

    def most(self, prompt_length: int) -> int:
        """Return the maximum number of tokens of an answer. It can be 0 or negative with a `max_length`."""
        if self.max_new_tokens is not None:
            return math.ceil(self.max_new_tokens)
        return _DEFAULT_NEW_TOKENS if self.max_length is None else math.ceil(self.max_length - prompt_length)


def split_generation(pipeline_kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the generation arguments that a pipeline applies to all its calls, and its other arguments."""
    kept = GENERATION_CONFIG | {"generation_config"}
    dropped = ("assistant_model", "assistant_tokenizer")
    generation = {name: value for name, value in pipeline_kwargs.items() if name in kept}
    rest = {name: value for name, value in pipeline_kwargs.items() if name not in kept and name not in dropped}
    return generation, rest


def read_generation(
    built: Mapping[str, Any],
    called: Mapping[str, Any],
    *,
    model: Mapping[str, Any],
    kind: Any = None,
    **defaults: Any,
) -> Generation:
    """Return the settings that decide how much is generated.

    Args:
        built: The arguments that the pipeline was built with. A `generation_config` in the call replaces all of them.
        called: The arguments of the call.
        model: The content of the model's `generation_config.json`.
        kind: The model's `model_type`.
        defaults: The defaults of the pipeline, which all others override.

    Raises:
        ValueError, TypeError, ZeroDivisionError, RuntimeError: `generate` raises the same class.
    """
    kwargs = {**({} if "generation_config" in called else built), **called}
    unknown = sorted(name for name in kwargs if name not in GENERATION_CONFIG | _OF_GENERATE)
    if any(kwargs[name] is not None for name in unknown):
        raise ValueError(f"these arguments are not used by the model: {', '.join(unknown)}")
    for name in ("num_return_sequences", "num_beams"):
        if name in kwargs and kwargs[name] is None:
            raise TypeError(f"{name} must be a whole number, found None")
    given = kwargs.get("generation_config")
    config = {} if given is None else given.to_diff_dict()
    values = {**defaults, **model, **config}
    values |= {name: value for name, value in kwargs.items() if value is not None}
    _check(values)
    _check_mode(values)
    if values.get("do_sample"):
        _check_sampling(values)
    assisted = bool(values.get("use_mtp")) or any(values.get(name) is not None for name in _ASSISTANTS)
    if assisted and values.get("num_beams", 1) == 1:
        if values.get("num_return_sequences", 1) > 1 or kind in _STATEFUL:
            raise ValueError("assisted generation returns one answer, and does not support stateful models")
        if values.get("use_cache") is False:
            raise RuntimeError("assisted generation needs use_cache=True")
    return Generation(
        is_assisted=assisted,
        sequences=_sequences(values),
        max_new_tokens=values.get("max_new_tokens"),
        max_length=values.get("max_length"),
        min_new_tokens=values.get("min_new_tokens") or 0,
        beams=values.get("num_beams", 1),
        streamer=values.get("streamer"),
    )


def _check(values: Mapping[str, Any]) -> None:
    if values.get("early_stopping") not in (None, True, False, "never"):
        raise ValueError(f"early_stopping must be a bool or 'never', found {values['early_stopping']!r}")
    limit = values.get("max_new_tokens")
    if limit is not None and limit <= 0:
        raise ValueError(f"max_new_tokens must be greater than 0, found {limit!r}")
    if values.get("cache_implementation") not in (None, *_CACHES):
        raise ValueError(f"cache_implementation must be one of {', '.join(sorted(_CACHES))}")
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if isinstance(values.get(name), str):
            raise TypeError(f"{name} must be a token id, found {values[name]!r}")
    penalty = values.get("repetition_penalty")
    if penalty not in (None, 1.0) and not (isinstance(penalty, float) and penalty > 0):
        raise ValueError(f"repetition_penalty must be a float greater than 0, found {penalty!r}")
    words = values.get("bad_words_ids")
    if words is not None and not (isinstance(words, list) and words and all(map(_are_tokens, words))):
        raise ValueError(f"bad_words_ids must be a list of lists of token ids, found {words!r}")
    if values.get("stop_strings") is not None and (values.get("tokenizer") is None or not [*values["stop_strings"]]):
        raise ValueError("stop_strings needs a tokenizer and at least one string: pass stop_sequence instead")
    if values.get("token_healing") and values.get("tokenizer") is None:
        raise ValueError("token_healing needs a tokenizer")


def _are_tokens(ids: Any) -> bool:
    return isinstance(ids, list) and all(isinstance(index, int) and index >= 0 for index in ids)


def _check_mode(values: Mapping[str, Any]) -> None:
    """Raise ValueError for decoding strategies whose code is on the Hub, because they need `trust_remote_code`."""
    beams = values.get("num_beams", 1)
    moved = values.get("constraints") is not None or values.get("force_words_ids") is not None
    if beams == 1:
        contrastive = (values.get("penalty_alpha") or 0) > 0 and values.get("top_k", _TOP_K) > 1
        moved = (
            moved or values.get("dola_layers") is not None or (contrastive and values.get("do_sample") is not True)
        )
    else:
        moved = moved or (values.get("num_beam_groups") or 1) > 1
    if moved and values.get("custom_generate") is None:
        raise ValueError("this decoding strategy needs code from the Hub and trust_remote_code=True")
    if values.get("streamer") is not None and beams > 1 and not values.get("do_sample"):
        raise ValueError("a streamer does not support beam search: leave out num_beams")


def _check_sampling(values: Mapping[str, Any]) -> None:
    temperature = values.get("temperature")
    if temperature not in (None, 1.0) and not (isinstance(temperature, float) and temperature > 0):
        raise ValueError(f"temperature must be a float greater than 0, found {temperature!r}")
    top_k = values.get("top_k")
    if top_k not in (None, 0) and not (isinstance(top_k, int) and top_k > 0):
        raise ValueError(f"top_k must be a whole number greater than 0, found {top_k!r}")
    top_p = values.get("top_p")
    if top_p is not None and top_p < 1.0 and float(top_p) < 0:
        raise ValueError(f"top_p must be from 0 to 1, found {top_p!r}")
    min_p = values.get("min_p")
    if min_p is not None and not 0 <= min_p <= 1.0:
        raise ValueError(f"min_p must be from 0 to 1, found {min_p!r}")
    typical_p = values.get("typical_p")
    if typical_p is not None and typical_p < 1.0 and not float(typical_p) > 0:
        raise ValueError(f"typical_p must be greater than 0, found {typical_p!r}")


def _sequences(values: Mapping[str, Any]) -> int:
    number = values.get("num_return_sequences", 1)
    beams = values.get("num_beams", 1)
    if beams < 1:
        raise (RuntimeError if beams else ZeroDivisionError)(f"num_beams must be at least 1, found {beams}")
    if number > 1 and beams == 1 and not values.get("do_sample"):
        raise ValueError("greedy decoding returns one answer: set do_sample=True or num_beams for several")
    if beams != 1 and number > beams:
        raise ValueError(f"num_return_sequences is {number}, but num_beams is {beams}")
    return max(1, int(number))
