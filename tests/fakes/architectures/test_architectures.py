"""For many architectures, the fake returns the same shapes, numbers, rates and errors as the real pipeline.

Each architecture is a model with random weights. The fake gets the same folder without weights. If the config alone
decides the structure, another fake gets only the facts in a lock.
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
def test_the_fake_answers_like_the_real_pipeline(architecture: Architecture, tmp_path: Path) -> None:
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


def test_names_are_unique() -> None:
    assert Counter((one.task, one.name) for one in ALL).most_common(1)[0][1] == 1
