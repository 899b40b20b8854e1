"""The facts of a model go into a lock and come out as a configuration that a fake can use."""

from __future__ import annotations

from modelenv.fakes import fake_pipeline
from modelenv.locks.facts import config_of, facts_of
from modelenv.locks.values import Facts

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


def test_labels_with_a_gap_and_other_nonsense_are_left_out() -> None:
    for id2label in ({"0": "A", "2": "B"}, {"x": "A"}, ["A"], {"0": 1}, {}, None):
        assert "labels" not in facts_of({"model_type": "bert", "id2label": id2label}, {})
    assert dict(facts_of({"architectures": [1], "model_type": ["bert"], "hidden_size": float("inf")}, {})) == {}


def test_a_fake_of_these_facts_has_the_models_own_labels() -> None:
    config = config_of(facts_of(CONFIG, {}))
    fake = fake_pipeline("sentiment", model="acme/model", config=config)
    assert sorted(row["label"] for row in fake("text")[0]) == ["BAD", "GOOD", "SO SO"]


def test_nothing_known_is_no_configuration() -> None:
    assert config_of(Facts()) is None
    assert config_of(Facts({"tokenizer_class": "BertTokenizer"})) is None
