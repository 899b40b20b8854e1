from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelenv.hub.repos.facts import ModelFacts, read_facts
from modelenv.hub.repos.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path


def facts(folder: Path) -> ModelFacts:
    return read_facts(Repository("a/b", folder).listing())


def test_facts_from_config_card_and_weights(model: Path) -> None:
    told = facts(model)
    assert told.library_name == "transformers"
    assert told.pipeline_tag == "text-classification"
    assert told.config == {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    assert told.card is not None
    assert told.card["license"] == "apache-2.0"
    assert told.safetensors == {"parameters": {"F32": 8, "I64": 2}, "total": 10}
    expected = "transformers safetensors bert text-classification finance en license:apache-2.0"
    assert told.tags == tuple(expected.split())


def test_the_card_takes_precedence(model: Path) -> None:
    (model / "README.md").write_text("---\npipeline_tag: fill-mask\nlibrary_name: mine\ndatasets: imdb\n---\n")
    told = facts(model)
    assert (told.pipeline_tag, told.library_name) == ("fill-mask", "mine")
    assert "dataset:imdb" in told.tags


def test_a_sentence_transformer_is_detected_by_its_modules(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    assert facts(tmp_path).pipeline_tag == "feature-extraction"
    (tmp_path / "modules.json").write_text("[]")
    assert (facts(tmp_path).library_name, facts(tmp_path).pipeline_tag) == (
        "sentence-transformers",
        "sentence-similarity",
    )


@pytest.mark.parametrize("architectures", ['"BertModel"', '["Unheard"]', "null"])
def test_an_unknown_architecture_has_no_task(tmp_path: Path, architectures: str) -> None:
    (tmp_path / "config.json").write_text(f'{{"architectures": {architectures}}}')
    assert facts(tmp_path).pipeline_tag is None


def test_shards_are_summed(model: Path) -> None:
    (model / "model-00002-of-00002.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    told = facts(model).safetensors
    assert told is not None
    assert told["total"] == 20


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{not json"),
        ("config.json", b"[1]"),
        ("README.md", b"---\n: [\n---\n"),
        ("README.md", b"---\njust text\n---\n"),
        ("README.md", b"no metadata"),
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 100),
        ("model.safetensors", b"\x02" + bytes(7) + b"[]"),
        ("model.safetensors", b"\x09" + bytes(7) + b'{"a": 1} '),
    ],
)
def test_a_damaged_file_is_ignored(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    told = facts(tmp_path)
    assert (told.card, told.config, told.safetensors, told.pipeline_tag) == (None, None, None, None)
