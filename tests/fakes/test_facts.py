"""What a fake knows about its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ConfigurationError, ModelNotFoundError
from modelenv.fakes import fake_pipeline
from modelenv.fakes.model.facts import read_facts

LABELS = ("NEGATIVE", "POSITIVE")
DEFAULT = {"id2label": dict(enumerate(LABELS))}


def write(folder: Path, content: str) -> Path:
    (folder / "config.json").write_text(content, encoding="utf-8")
    return folder


def test_without_a_config_the_labels_are_the_default() -> None:
    facts = read_facts("ProsusAI/finbert", None, defaults=DEFAULT)
    assert (facts.name, facts.labels, facts.problem_type) == ("ProsusAI/finbert", LABELS, None)
    assert facts.label2id == {"NEGATIVE": 0, "POSITIVE": 1}


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"id2label": {1: "b", 0: "a"}, "num_labels": 2}, ("a", "b")),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 2}, ("LABEL_0", "LABEL_1")),
        ({"label2id": {"x": 0, "y": 1}}, ("LABEL_0", "LABEL_1")),
    ],
)
def test_a_config_has_the_same_labels_as_in_transformers(config: dict[str, Any], labels: tuple[str, ...]) -> None:
    assert read_facts("some/model", config, defaults=DEFAULT).labels == labels


@pytest.mark.integration
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_labels": 3},
        {"id2label": {"1": "b", "0": "a"}},
        {"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 2},
        {"label2id": {"x": 0, "y": 1}},
        {"id2label": {"0": "a"}, "label2id": {"a": 0}},
    ],
)
def test_the_labels_equal_those_of_transformers(config: dict[str, Any]) -> None:
    from transformers import BertConfig

    expected, found = BertConfig(**config), read_facts("some/model", config, defaults=DEFAULT)
    assert dict(enumerate(found.labels)) == expected.id2label
    assert found.label2id == expected.label2id


@pytest.mark.parametrize("as_type", [str, Path])
def test_only_the_config_of_a_folder_is_read(tmp_path: Path, as_type: type) -> None:
    write(tmp_path, json.dumps({"id2label": {"0": "no", "1": "yes"}, "model_type": "bert", "hidden_size": 8}))
    (tmp_path / "model.safetensors").mkdir()  # opening it would fail
    fake = fake_pipeline("text-classification", model=as_type(tmp_path))
    assert {answer["label"] for answer in fake("a", top_k=None)} == {"no", "yes"}
    assert fake.model.name_or_path == fake.model.config.name_or_path == str(tmp_path)
    assert fake.model.config.hidden_size == 8
    assert fake.model.config.id2label == {0: "no", 1: "yes"}


def test_a_given_config_takes_precedence_over_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "{}")
    fake = fake_pipeline("text-classification", model=tmp_path, config={"id2label": {"0": "a", "1": "b"}})
    assert fake.model.config.id2label == {0: "a", 1: "b"}


def test_an_unknown_attribute_of_the_config_is_an_error() -> None:
    fake = fake_pipeline("text-classification", model="some/model")
    with pytest.raises(AttributeError) as caught:
        _ = fake.model.config.hidden_size
    assert str(caught.value) == (
        "the config of this fake has no 'hidden_size'; pass config={…}, the content of the model's config.json "
        "(known: architectures, id2label, label2id, name_or_path, num_labels, problem_type)"
    )
    assert repr(fake.model.config).startswith("FakeConfig({'architectures': None, 'id2label': {0: 'NEGATIVE'")


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_folder_without_a_config_is_an_error(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with pytest.raises(ModelNotFoundError) as caught:
        fake_pipeline("text-classification", model=folder)
    assert str(caught.value) == (
        f"{folder}: the model's folder has no config.json\n"
        "  tried:\n"
        f"    - {folder / 'config.json'}\n"
        "  what to do: use a folder that save_pretrained has written, or pass config={...}"
    )


def test_a_broken_config_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "{")
    with pytest.raises(ConfigurationError) as caught:
        fake_pipeline("text-classification", model=tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: {tmp_path / 'config.json'} is not valid JSON: Expecting property name")
    assert text.endswith("what to do: save the model's config.json again")


def test_a_config_that_is_not_an_object_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "[]")
    with pytest.raises(ConfigurationError) as caught:
        fake_pipeline("text-classification", model=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: {tmp_path / 'config.json'} is not a JSON object\n"
        "  expected: a JSON object\n"
        "  found: list\n"
        "  what to do: save the model's config.json again"
    )


@pytest.mark.parametrize(
    ("config", "key", "expected"),
    [
        ({"num_labels": 0}, "num_labels", "a whole number of at least 1"),
        ({"num_labels": "2"}, "num_labels", "a whole number of at least 1"),
        ({"id2label": {}}, "id2label", "a label for each of 0, 1, … without a gap"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label", "a label for each of 0, 1, … without a gap"),
        ({"id2label": ["a", "b"]}, "id2label", "an object that maps 0, 1, … to labels"),
        ({"id2label": {"x": "a"}}, "id2label", "an object that maps 0, 1, … to labels"),
    ],
)
def test_invalid_labels_are_an_error(config: dict[str, Any], key: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fake_pipeline("text-classification", model="some/model", config=config)
    assert str(caught.value) == (
        f"some/model: the config's {key!r} is not valid\n"
        f"  expected: {expected}\n"
        f"  found: {config[key]!r}\n"
        "  what to do: pass the content of the model's own config.json"
    )
