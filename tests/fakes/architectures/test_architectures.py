"""For many architectures of each task, the fake answers as the real pipeline does: shapes, numbers, rates, errors.

Each is a model of its own with random weights. The fake sees the same folder without them. Where the configuration
alone decides, another fake sees no more than what a lock holds of it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from modelenv.fakes import fake_of_facts, fake_pipeline
from modelenv.locks.facts import facts_of

from . import detection, images, sounds, texts
from .architecture import Architecture

ALL = (*detection.ARCHITECTURES, *images.ARCHITECTURES, *sounds.ARCHITECTURES, *texts.ARCHITECTURES)


@pytest.mark.integration
@pytest.mark.parametrize("architecture", ALL, ids=lambda one: f"{one.task} | {one.name}")
def test_the_fake_answers_as_the_real_pipeline(architecture: Architecture, tmp_path: Path) -> None:
    from transformers import pipeline

    folder = architecture.build(tmp_path / "model")
    real = pipeline(architecture.task, model=str(folder), device="cpu")
    expected = [architecture.outcome(real, call) for call in architecture.calls]
    assert all(outcome.endswith("Error") for outcome in expected) == architecture.refuses, expected

    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    fake = fake_pipeline(architecture.task, model=tmp_path / "bare")
    assert [architecture.outcome(fake, call) for call in architecture.calls] == expected

    if architecture.by_lock:
        config, tokenizer = (
            json.loads(path.read_text()) if path.exists() else {}
            for path in (folder / "config.json", folder / "tokenizer_config.json")
        )
        locked = fake_of_facts(architecture.task, "acme/model", facts_of(config, tokenizer), {})
        assert [architecture.outcome(locked, call) for call in architecture.calls] == expected


def test_each_has_a_name_of_its_own() -> None:
    assert Counter((one.task, one.name) for one in ALL).most_common(1)[0][1] == 1
