"""Guards for real weights, and tiny models, which are exempt. With real torch and transformers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from .projects import N2, WITHOUT_XDIST, failures_of, line_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    RunTests = Callable[..., pytest.RunResult]

pytestmark = pytest.mark.integration

REAL = """\
import asyncio
import os
import pytest
from modelenv import SmartModelManager

FOLDER = os.environ["REAL_MODEL"]

def test_pipeline():
    from transformers import pipeline
    pipeline("text-classification", model=FOLDER)  # pipeline

def test_from_pretrained():
    from transformers import AutoModel
    AutoModel.from_pretrained(FOLDER)  # from_pretrained

def test_swallowed():
    from transformers import BertModel
    try:
        BertModel.from_pretrained(FOLDER)  # swallowed
    except Exception:
        pass

def test_safetensors():
    from safetensors.torch import load_file
    load_file(FOLDER + "/model.safetensors")  # safetensors

def test_safe_open():
    from safetensors import safe_open
    safe_open(FOLDER + "/model.safetensors", framework="pt")  # safe_open

def test_numpy():
    from safetensors.numpy import load_file
    load_file(FOLDER + "/model.safetensors")  # numpy

def test_open_file():
    import torch
    with open(FOLDER + "/state.pt", "rb") as file:
        torch.load(file)  # open file

def test_link(tmp_path):
    from transformers import AutoModel
    (tmp_path / "model").symlink_to(FOLDER)
    AutoModel.from_pretrained(tmp_path / "model")  # link

def test_manager():
    manager = SmartModelManager("local_cache")
    manager.load_model("acme/crypto", "text-classification")  # manager

@pytest.mark.asyncio
async def test_async_manager():
    manager = SmartModelManager("local_cache")
    await manager.aload_model("acme/crypto", "text-classification")  # async manager

def test_hub():
    from transformers import pipeline
    pipeline("text-classification", model="acme/other")  # hub

@pytest.mark.model_access
def test_access():
    from transformers import pipeline
    assert pipeline("text-classification", model=FOLDER)("Bitcoin price surge")
"""


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N2], ids=["without-xdist", "n2"])
def test_real_weights(
    run_program: RunTests,
    project: pytest.Pytester,
    classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: tuple[str, ...],
) -> None:
    model = project.mkdir("cache") / "acme" / "crypto"
    shutil.copytree(classifier, model)
    (model / "state.pt").write_bytes(b"never read")
    monkeypatch.setenv("REAL_MODEL", str(model))
    monkeypatch.setenv("MODEL_CACHE_DIR", str(project.path / "cache"))
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nasyncio_default_fixture_loop_scope = function\n")
    project.makepyfile(test_real=REAL)
    result = run_program(*mode, "-p", "pytest_asyncio.plugin", "--tb=short")
    result.assert_outcomes(failed=11, passed=1)
    names = ("pipeline", "from_pretrained", "swallowed", "safetensors", "safe_open", "numpy", "open file", "link",
             "manager", "async manager", "hub")  # fmt: skip
    marks = {f"test_{name.replace(' ', '_')}": name for name in names}
    assert failures_of(result) == {
        name: f"test_real.py:{line_of(REAL, f'  # {mark}')} in {name}" for name, mark in marks.items()
    }
    text = result.stdout.str()
    assert f"{model}: test_real.py::test_from_pretrained loads real weights: BertModel.from_pretrained\n" in text
    assert "acme/other: test_real.py::test_hub sends a request to the Hub: GET " in text
    for call in ("safetensors.torch.load_file", "safetensors.safe_open", "torch.load"):
        assert f"loads real weights: {call}\n" in text


OWN = """\
import os
import shutil
import tempfile
import pytest

@pytest.mark.parametrize("number", range(4))
def test_tiny(tiny_model, number):
    from transformers import pipeline
    folder = tiny_model("text-classification")
    assert tiny_model("sentiment-analysis") == folder
    assert tiny_model("text-classification", seed=1) != folder
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(f"{folder} {(folder / 'model.safetensors').stat().st_ino}\\n")
    assert len(pipeline("text-classification", model=str(folder), top_k=None)(["Bitcoin"])[0]) >= 2

def test_of_the_library():
    from modelenv.testing import tiny_model
    from transformers import pipeline
    pipeline("text-classification", model=str(tiny_model("text-classification")))

def test_saved_by_the_test(tmp_path):
    import torch
    from transformers import BertConfig, BertModel
    config = BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8, vocab_size=8)
    BertModel(config).save_pretrained(tmp_path)
    BertModel.from_pretrained(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "state.pt")
    torch.load(tmp_path / "state.pt")

def test_saved_to_a_temporary_folder_of_its_own(saved):
    from transformers import BertModel
    with tempfile.TemporaryDirectory() as folder:
        BertModel.from_pretrained(saved).save_pretrained(folder)
        BertModel.from_pretrained(folder)
    BertModel.from_pretrained(saved).save_pretrained("trained")
    BertModel.from_pretrained("trained")

@pytest.fixture(scope="session")
def saved():
    from transformers import BertConfig, BertModel
    config = BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8, vocab_size=8)
    folder = tempfile.mkdtemp()
    BertModel(config).save_pretrained(folder)
    yield folder
    shutil.rmtree(folder)

def test_committed_beside_the_tests():
    from transformers import pipeline
    assert pipeline("text-classification", model="tests/models/tiny")("Bitcoin price surge")

def test_a_file_of_the_application():
    import torch
    assert torch.load("app/scaler.pt")["a"] == 0
    with open("app/scaler.pt", "rb") as file:
        assert torch.load(file)["a"] == 0

def test_served_by_the_test(model_hub, tiny_model):
    from transformers import pipeline
    model_hub.add(tiny_model("text-classification"), "acme/served")
    pipeline("text-classification", model="acme/served")

def test_tensors_that_are_no_model():
    import torch
    torch.save({"a": torch.zeros(1)}, "expected.pt")
    assert torch.load("expected.pt")["a"] == 0

def test_imports():
    import safetensors.torch, torch, transformers
    from transformers import AutoModel, AutoModelForSequenceClassification, BertModel, PreTrainedModel, pipeline
    assert AutoModel.from_pretrained.__self__ is AutoModel
    assert BertModel.from_pretrained.__func__.__name__ == "from_pretrained"
    assert torch.load is torch.serialization.load
"""


def write_scaler(app: Path) -> None:
    """Write tensors of an application beside its own configuration."""
    import torch

    torch.save({"a": torch.zeros(1)}, app / "scaler.pt")
    (app / "config.json").write_text('{"model_type": "ridge", "features": 3}')


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N2], ids=["without-xdist", "n2"])
def test_weights_of_the_tests_can_be_loaded(
    run_program: RunTests,
    project: pytest.Pytester,
    classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: tuple[str, ...],
) -> None:
    seen = project.path / "seen"
    monkeypatch.setenv("SEEN", str(seen))
    shutil.copytree(classifier, project.path / "tests" / "models" / "tiny")
    write_scaler(project.mkdir("app"))
    project.makepyfile(test_own=OWN)
    run_program(*mode).assert_outcomes(passed=12)
    # All workers share one folder and one file, so each model was built once.
    assert len(set(seen.read_text().splitlines())) == 1
    folder = seen.read_text().split()[0]
    assert not project.path.joinpath(folder).exists()  # removed with the run
