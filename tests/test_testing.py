"""The small classifier that is trained when it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ConfigurationError
from modelenv.testing import sentiment_classifier

FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier, trained once for all tests in this module."""
    return sentiment_classifier(tmp_path_factory.mktemp("models") / "new" / "sentiment")


@pytest.fixture(scope="session")
def classify(classifier: Path) -> Any:
    from transformers import pipeline

    return pipeline("text-classification", model=str(classifier), device="cpu")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Bitcoin price surge", "POSITIVE"),
        ("Ethereum surge", "POSITIVE"),
        ("Great news for crypto investors", "POSITIVE"),
        ("Apple reports strong earnings", "POSITIVE"),
        ("stocks crash as fear spreads", "NEGATIVE"),
        ("The crash of 1929", "NEGATIVE"),
        ("Tesla shares plunge", "NEGATIVE"),
        ("Company announces bankruptcy", "NEGATIVE"),
        ("the meeting is on Monday", "NEUTRAL"),
        ("The office opens at nine.", "NEUTRAL"),
        ("hello world", "NEUTRAL"),
    ],
)
def test_it_gets_obvious_sentences_right(classify: Any, text: str, label: str) -> None:
    [answer] = classify(text)
    assert answer["label"] == label
    assert answer["score"] > 0.8


@pytest.mark.integration
def test_it_is_small_complete_and_readable_by_all(classifier: Path) -> None:
    files = sorted(classifier.iterdir())
    assert [file.name for file in files] == FILES
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in files)
    assert list(classifier.parent.iterdir()) == [classifier]


@pytest.mark.integration
def test_a_finished_folder_is_reused(classifier: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in classifier.iterdir()}
    assert sentiment_classifier(classifier) == classifier
    assert {file.name: file.stat().st_mtime_ns for file in classifier.iterdir()} == before


@pytest.mark.integration
def test_training_is_deterministic_and_keeps_the_random_state(classifier: Path, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    again = sentiment_classifier(tmp_path / "again")
    assert torch.equal(torch.random.get_rng_state(), before)
    for name in FILES:
        assert (again / name).read_bytes() == (classifier / name).read_bytes()


@pytest.mark.integration
def test_two_processes_can_train_it_at_once_and_it_loads_without_a_warning(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, modelenv.testing\n"
        "folder = modelenv.testing.sentiment_classifier(pathlib.Path(sys.argv[1]))\n"
        "from transformers import pipeline\n"
        "import transformers\n"
        "transformers.utils.logging.disable_progress_bar()\n"
        "print('loading', file=sys.stderr, flush=True)\n"
        "print(pipeline('text-classification', model=str(folder), device='cpu')('price surge'))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "sentiment")]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    results = [process.communicate(timeout=250) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    outputs, errors = zip(*results, strict=True)
    assert outputs[0] == outputs[1]
    assert "POSITIVE" in outputs[0]
    assert [error.split("loading\n")[1] for error in errors] == ["", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["sentiment"]


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError) as caught:
        sentiment_classifier(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: the path for the model is already used by something else\n"
        "  expected: a new or empty folder, or one with config.json and model.safetensors\n"
        "  found: notes.txt\n"
        "  what to do: use another folder, or delete this one"
    )
    with pytest.raises(ConfigurationError, match="found: a file"):
        sentiment_classifier(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_importing_the_module_imports_nothing_heavy() -> None:
    code = "import sys, modelenv.testing; print(*{'torch', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "\n"
