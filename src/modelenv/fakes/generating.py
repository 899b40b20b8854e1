"""Which arguments `generate` of transformers 5.23 takes, which it refuses, and how much it then writes."""

from __future__ import annotations

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
    """.split()  # noqa: SIM905 (a list of one name a line would fill a page)
)
"""The attributes of `GenerationConfig`; a test holds them against the installed version."""

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
_DEFAULT_NEW_TOKENS = 256  # of the text-generation pipeline
_USUAL_NEW_TOKENS = 24  # a model ends by itself: a fake does so after this many, where a call allows many more
_EXACT = 64  # up to this many are written to the last, as a test that asks for so few counts them


@dataclass(frozen=True)
class Generation:
    """How much to write.

    Attributes:
        sequences: how many answers to each input.
        max_new_tokens: the most tokens of an answer, where that was given; else None.
        max_length: the most tokens of prompt and answer, where that was given; else None.
        min_new_tokens: the fewest tokens of an answer.
    """

    sequences: int
    max_new_tokens: int | None
    max_length: int | None
    min_new_tokens: int

    def new_tokens(self, prompt_length: int) -> int:
        """Return how many tokens to write after a prompt.

        Raises:
            ValueError: the prompt leaves no room.
        """
        if self.max_new_tokens is not None:
            limit = self.max_new_tokens
        elif self.max_length is not None:
            limit = self.max_length - prompt_length
            if limit <= 0:
                raise ValueError(
                    f"the input has {prompt_length} tokens, but max_length is {self.max_length}: set max_new_tokens"
                )
        else:
            limit = _DEFAULT_NEW_TOKENS
        return limit if limit <= _EXACT else max(_USUAL_NEW_TOKENS, min(limit, self.min_new_tokens))


def read_generation(kwargs: Mapping[str, Any], model: Mapping[str, Any]) -> Generation:
    """Return how much to write with these arguments, over the model's `generation_config.json`.

    Raises:
        ValueError, TypeError: where `generate` raises the same class.
    """
    unknown = sorted(name for name in kwargs if name not in GENERATION_CONFIG | _OF_GENERATE)
    if any(kwargs[name] is not None for name in unknown):
        raise ValueError(f"these arguments are not used by the model: {', '.join(unknown)}")
    given = kwargs.get("generation_config")
    config = {} if given is None else given.to_diff_dict()
    values = {"do_sample": True, "temperature": 0.7, **model, **config}
    values |= {name: value for name, value in kwargs.items() if value is not None}
    _check(values)
    return Generation(
        sequences=_sequences(values),
        max_new_tokens=values.get("max_new_tokens"),
        max_length=values.get("max_length"),
        min_new_tokens=values.get("min_new_tokens") or 0,
    )


def _check(values: Mapping[str, Any]) -> None:
    if values.get("early_stopping") not in (None, True, False, "never"):
        raise ValueError(f"early_stopping must be a bool or 'never', found {values['early_stopping']!r}")
    limit = values.get("max_new_tokens")
    if limit is not None and limit <= 0:
        raise ValueError(f"max_new_tokens must be greater than 0, found {limit!r}")
    penalty = values.get("repetition_penalty")
    if penalty not in (None, 1.0) and not (isinstance(penalty, float) and penalty > 0):
        raise ValueError(f"repetition_penalty must be a float over 0, found {penalty!r}")
    if values.get("do_sample"):
        _check_sampling(values)


def _check_sampling(values: Mapping[str, Any]) -> None:
    temperature = values.get("temperature")
    if temperature not in (None, 1.0) and not (isinstance(temperature, float) and temperature > 0):
        raise ValueError(f"temperature must be a float over 0, found {temperature!r}")
    top_k = values.get("top_k")
    if top_k not in (None, 0) and not (isinstance(top_k, int) and top_k > 0):
        raise ValueError(f"top_k must be a whole number over 0, found {top_k!r}")
    top_p = values.get("top_p")
    if top_p is not None and top_p < 1.0 and float(top_p) < 0:
        raise ValueError(f"top_p must be from 0 to 1, found {top_p!r}")


def _sequences(values: Mapping[str, Any]) -> int:
    number = values.get("num_return_sequences")
    number = 1 if number is None else number
    beams = values.get("num_beams")
    if number > 1 and beams in (None, 1) and not values.get("do_sample"):
        raise ValueError("greedy decoding gives one answer: set do_sample=True or num_beams for several")
    if beams not in (None, 1) and number > beams:
        raise ValueError(f"num_return_sequences is {number}, but num_beams is {beams}")
    return int(number)
