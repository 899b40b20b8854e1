"""transformers loads a tiny model from a folder, through the Hub, into a pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from modelenv.hub import EmbeddedHub

pytestmark = pytest.mark.integration

BUILD = """
import pathlib, sys
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
folder = pathlib.Path(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "day"]
(folder / "vocab.txt").write_text("\\n".join(words))
BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
config = BertConfig(
    vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
    id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1},
)
BertForSequenceClassification(config).save_pretrained(folder)
"""
PREDICT = """
import json, sys
from transformers import AutoModel, pipeline
classify = pipeline(model=sys.argv[1], device="cpu")
assert AutoModel.from_pretrained(sys.argv[1]).config.hidden_size == 8
print(json.dumps([classify.task, classify("good day", top_k=None)]))
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf_home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE"):
        environment.pop(name, None)

    def execute(code: str, argument: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, argument],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return execute


@pytest.mark.timeout(300)
def test_a_pipeline_from_the_hub_cold_warm_and_offline(
    hub: EmbeddedHub, tmp_path: Path, run: Callable[..., str]
) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    predict = PREDICT.replace("pipeline(", "pipeline('text-classification', ")
    expected = run(BUILD + predict, str(folder), HF_HUB_OFFLINE="1")
    info = hub.add(folder, "org/tiny")

    cold = run(PREDICT, "org/tiny", HF_ENDPOINT=hub.endpoint)
    assert json.loads(cold) == json.loads(expected)
    assert json.loads(cold)[0] == "text-classification"
    assert not [str(request) for request in hub.requests if request.status not in (200, 404)]
    elsewhere = [request.path for request in hub.requests if request.repo_id != "org/tiny"]
    assert set(elsewhere) <= {"/api/agent-harnesses"}
    fetched = [request.file for request in hub.requests if (request.method, request.kind) == ("GET", "resolve")]
    assert len(fetched) == len(set(fetched))
    assert set(fetched) == {
        "config.json",
        "vocab.txt",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (tmp_path / "hf_home" / "hub" / "models--org--tiny" / "snapshots" / info.commit).is_dir()

    hub.clear()
    assert run(PREDICT, "org/tiny", HF_ENDPOINT=hub.endpoint) == cold
    assert [request for request in hub.requests if request.body_bytes > 10_000] == []
    assert {request.kind for request in hub.requests} <= {"info", "tree", "other"}
