"""The contract: the real pipeline and the fake, asked the same, answer in the same structure.

When a release of transformers changes a structure, this file is what turns red.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from modelenv.fakes import fake_pipeline

from .structure import outcome
from .text_classification_cases import CASES, VARIANTS, Case, dataset

pytestmark = pytest.mark.integration

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "crash", "of", "bitcoin", "price", "surge", "a", "b"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny real BERT for every variant, with random weights from a fixed seed."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}, model_max_length=64)
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)  # noqa: C408
    found = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for variant, values in VARIANTS.items():
            config = BertConfig(vocab_size=len(WORDS), initializer_range=0.5, **sizes, **values)
            found[variant] = tmp_path_factory.mktemp("tiny") / re.sub(r"\W", "-", variant)
            BertForSequenceClassification(config).save_pretrained(found[variant])
            tokenizer.save_pretrained(found[variant])
    return found


@pytest.fixture(scope="session")
def real(folders: dict[str, Path]) -> Callable[..., Any]:
    """Build the real pipeline of a variant; each is built once."""
    from transformers import pipeline

    built: dict[str, Any] = {}

    def build(variant: str, **kwargs: Any) -> Any:
        key = f"{variant} {kwargs}"
        if key not in built:
            built[key] = pipeline("text-classification", model=str(folders[variant]), **{"device": "cpu", **kwargs})
        return built[key]

    return build


@pytest.fixture(scope="session")
def fake(folders: dict[str, Path]) -> Callable[..., Any]:
    """Build the fake of a variant from the same folder as the real pipeline."""

    def build(variant: str, **kwargs: Any) -> Any:
        return fake_pipeline("text-classification", model=folders[variant], **kwargs)

    return build


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_fake_answers_in_the_structure_of_the_real_pipeline(
    case: Case, real: Callable[..., Any], fake: Callable[..., Any]
) -> None:
    expected, found = outcome(case, real), outcome(case, fake)
    assert found == expected, f"{case.name}\n  real: {expected}\n  fake: {found}"


@pytest.mark.parametrize(
    "impostor",
    [lambda *_, **__: MagicMock(), lambda *_, **__: MagicMock(return_value=[{"label": "A", "score": 0.9}])],
    ids=["a bare MagicMock", "a constant answer"],
)
def test_the_suite_can_fail(impostor: Callable[..., Any], real: Callable[..., Any]) -> None:
    held = [case.name for case in CASES if outcome(case, impostor) == outcome(case, real)]
    assert len(held) < len(CASES) / 4, held


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_config_is_that_of_the_real_model(
    variant: str, folders: dict[str, Path], fake: Callable[..., Any]
) -> None:
    from transformers import AutoConfig

    expected, found = AutoConfig.from_pretrained(folders[variant]), fake(variant).model.config
    for name in ("id2label", "label2id", "num_labels", "problem_type", "architectures", "name_or_path", "model_type"):
        assert getattr(found, name) == getattr(expected, name), name


def test_the_pipelines_look_alike(real: Callable[..., Any], fake: Callable[..., Any]) -> None:
    for pipe in (real("binary"), fake("binary")):
        assert pipe.task == "text-classification"
        assert str(pipe.device) == pipe.device.type == "cpu"
        assert repr(pipe.device) == "device(type='cpu')"
        assert pipe.device.index is None
        assert pipe.model.name_or_path == pipe.model.config.name_or_path
    assert repr(real("binary")).startswith("TextClassificationPipeline: {'model': ")
    assert repr(fake("binary")).startswith("FakeTextClassificationPipeline: {'model': ")


def test_a_stream_is_used_like_the_real_one(real: Callable[..., Any], fake: Callable[..., Any]) -> None:
    for build in (real, fake):
        pipe = build("binary")
        texts = pipe(dataset(["a", "b"]))
        with pytest.raises(AttributeError):
            next(texts)
        assert iter(texts) is texts
        assert len(list(texts)) == len(list(texts)) == 2
        spent = pipe(text for text in "ab")
        assert (len(list(spent)), len(list(spent))) == (2, 0)
