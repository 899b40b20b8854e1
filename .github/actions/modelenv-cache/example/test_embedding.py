"""`pytest --real-models` here, after the action: the locked model, and no network."""

# ruff: noqa: D103, S101 - a test

from __future__ import annotations

import os

import pytest


@pytest.mark.integration
@pytest.mark.model("embedding")
def test_the_locked_model_answers_offline(model) -> None:  # type: ignore[no-untyped-def]
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    [tokens] = model("a sentence")
    assert len(tokens[0]) == 384
