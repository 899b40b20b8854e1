"""The facts of a model go into a lock and come out as a configuration that a fake can use."""

from __future__ import annotations

from dataclasses import replace

from modelenv.fakes import fake_pipeline
from modelenv.locks.facts import config_of, facts_of, tokenizer_config_of
from modelenv.locks.project_lock import Lockfile, format_lockfile, parse_lockfile
from modelenv.locks.values import Facts

from ..fuzz.examples import FINBERT

CONFIG = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 32, "vocab_size": 100,
    "id2label": {"1": "GOOD", "0": "BAD", "2": "SO SO"}, "problem_type": None, "layer_norm_eps": 1e-12,
    "nested": {"a": 1},
}  # fmt: skip


def test_facts_are_taken_from_both_files() -> None:
    facts = facts_of(CONFIG, {"tokenizer_class": "BertTokenizer", "model_max_length": 10**30, "do_lower_case": True})
    assert dict(facts) == {
        "architectures": ("BertForSequenceClassification",),
        "do_lower_case": True,
        "hidden_size": 32,
        "labels": ("BAD", "GOOD", "SO SO"),
        "model_type": "bert",
        "tokenizer_class": "BertTokenizer",
        "vocab_size": 100,
    }


def test_labels_with_a_gap_and_other_invalid_values_are_left_out() -> None:
    for id2label in ({"0": "A", "2": "B"}, {"x": "A"}, ["A"], {"0": 1}, {}, None):
        assert "labels" not in facts_of({"model_type": "bert", "id2label": id2label}, {})
    assert dict(facts_of({"architectures": [1], "model_type": ["bert"], "hidden_size": float("inf")}, {})) == {}


def test_a_fake_of_these_facts_has_the_models_own_labels() -> None:
    config = config_of(facts_of(CONFIG, {}))
    fake = fake_pipeline("sentiment", model="acme/model", config=config)
    assert sorted(row["label"] for row in fake("text")[0]) == ["BAD", "GOOD", "SO SO"]


def test_without_facts_there_is_no_configuration() -> None:
    assert config_of(Facts()) is None
    assert config_of(Facts({"tokenizer_class": "BertTokenizer"})) is None


def test_nested_configurations_and_lists_of_numbers_are_restored() -> None:
    config = {
        "model_type": "musicgen", "audio_encoder": {"sampling_rate": 24000, "codebook_size": 64},
        "codec_config": None, "decoder": {"audio_channels": 2}, "text_config": [], "hidden_sizes": [8, 16],
        "depths": [], "image_size": [4, 2], "conv_stride": [2, "x"], "conv_kernel": [True],
        "aggregation_labels": {"0": "NONE", "1": "SUM"},
    }  # fmt: skip
    facts = facts_of(config, {})
    assert dict(facts) == {
        "aggregation_labels": ("NONE", "SUM"),
        "audio_encoder__sampling_rate": 24000,
        "decoder__audio_channels": 2,
        "hidden_sizes": ("8", "16"),
        "image_size": ("4", "2"),
        "model_type": "musicgen",
    }
    assert config_of(facts) == {
        "aggregation_labels": {"0": "NONE", "1": "SUM"},
        "audio_encoder": {"sampling_rate": 24000},
        "decoder": {"audio_channels": 2},
        "hidden_sizes": [8, 16],
        "image_size": [4, 2],
        "model_type": "musicgen",
    }


def test_contradictory_facts_still_give_a_configuration() -> None:
    facts = Facts({"decoder": "gpt2", "decoder__audio_channels": 2, "hidden_sizes": ["wide"], "labels": 3})
    assert config_of(facts) == {"decoder": "gpt2", "hidden_sizes": ["wide"], "labels": 3}


def test_the_tokenizers_facts_are_separate() -> None:
    facts = facts_of({"model_type": "bert"}, {"tokenizer_class": "CanineTokenizer", "model_max_length": 64})
    assert tokenizer_config_of(facts) == {"tokenizer_class": "CanineTokenizer", "model_max_length": 64}
    assert config_of(facts) == {"model_type": "bert"}


def test_a_lock_with_such_facts_is_read_back() -> None:
    facts = facts_of({"audio_encoder": {"sampling_rate": 24000}, "hidden_sizes": [8, 16]}, {})
    lock = Lockfile((replace(FINBERT, facts=facts),))
    text = format_lockfile(lock)
    assert "audio_encoder__sampling_rate = 24000\n" in text
    assert parse_lockfile(text, "modelenv.lock") == lock
