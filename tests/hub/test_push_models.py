"""transformers pushes real models to the Hub, and loads them from it."""

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

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PUSH = """
import pathlib, sys, tempfile
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
folder = pathlib.Path(tempfile.mkdtemp())
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "day"]
(folder / "vocab.txt").write_text("\\n".join(words))
tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
tokenizer.chat_template = "{% for message in messages %}{{ message.role }}: {{ message.content }} {% endfor %}"
config = BertConfig(
    vocab_size=len(words), hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=64,
)
model = BertForSequenceClassification(config)
model.push_to_hub("org/pushed", max_shard_size="60KB")
tokenizer.push_to_hub("org/pushed")
print(float(sum(tensor.double().abs().sum() for tensor in model.state_dict().values())))
"""
LOAD = """
import sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained("org/pushed")
tokenizer = AutoTokenizer.from_pretrained("org/pushed")
message = [{"role": "user", "content": "good day"}]
print(float(sum(tensor.double().abs().sum() for tensor in model.state_dict().values())))
print(tokenizer.apply_chat_template(message, tokenize=False))
"""


@pytest.fixture
def run(hub: EmbeddedHub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    removed = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in removed} | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
    }

    def execute(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, timeout=140, check=False
        )

    return execute


def test_a_sharded_model_with_a_chat_template_is_pushed_and_loaded(
    hub: EmbeddedHub, run: Callable[..., subprocess.CompletedProcess[str]], ask
) -> None:
    token = hub.token("ada", orgs=["org"])
    pushed = run(PUSH, HF_TOKEN=token)
    assert pushed.returncode == 0, pushed.stderr
    info = json.loads(ask("GET", "/api/models/org/pushed").body)
    names = {sibling["rfilename"] for sibling in info["siblings"]}
    shards = [name for name in names if name.startswith("model-0")]
    assert len(shards) > 1
    assert {"model.safetensors.index.json", "chat_template.jinja", "tokenizer.json"} <= names
    assert info["safetensors"]["total"] > 0

    loaded = run(LOAD)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.splitlines() == [pushed.stdout.splitlines()[-1], "user: good day "]
    fetched = {request.file for request in hub.requests if (request.method, request.kind) == ("GET", "resolve")}
    assert set(shards) <= fetched


def test_a_gated_model_needs_a_token_with_access(
    hub: EmbeddedHub, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    from huggingface_hub import HfApi

    owner = hub.token("ada", orgs=["org"])
    assert run(PUSH, HF_TOKEN=owner).returncode == 0
    HfApi(endpoint=hub.endpoint, token=owner).update_repo_settings("org/pushed", gated="manual")
    friend, stranger = hub.token("bob", access=["org/pushed"]), hub.token("eve")
    for token in (stranger, ""):
        refused = run(LOAD, HF_TOKEN=token)
        assert refused.returncode != 0
        assert "You are trying to access a gated repo" in refused.stderr
        assert not token or token not in refused.stderr
    allowed = run(LOAD, HF_TOKEN=friend)
    assert allowed.returncode == 0, allowed.stderr
