"""Fakes: stand-ins with the structure of a real pipeline's output, without torch, weights or network.

A fake answers in every call form as the real pipeline of transformers 5 does; the contract tests hold both
against each other. It is also a mock (`assert_called_once_with`, `return_value`, `side_effect`), and
`fake.when("crash").returns("NEGATIVE", 0.97)` scripts an answer.

What a fake does not promise: that an answer has anything to do with the meaning of the text (it is drawn from a
hash of the model's name and the text), nor anything that needs the model's vocabulary, such as the error that a
real model raises for a text that is too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.facts import read_facts
from modelenv.fakes.text_classification import (
    DEFAULT_LABELS,
    SENTIMENT_LABELS,
    FakeTextClassificationPipeline,
)
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FakePipeline", "FakeTextClassificationPipeline", "fake_pipeline"]


def fake_pipeline(
    task: str,
    *,
    model: str | Path = "fake-model",
    config: Mapping[str, Any] | None = None,
    **pipeline_kwargs: Any,
) -> FakeTextClassificationPipeline:
    """Return a fake of the pipeline that `transformers.pipeline(task, model, **pipeline_kwargs)` would be.

    Args:
        task: a task of transformers or one of its aliases, or `sentiment` (text classification, all scores).
        model: the model's name, or its folder, of which `config.json` is read and nothing else. The same name
            and input give the same answer in every process.
        config: the content of the model's `config.json`; takes precedence over a folder's.
        pipeline_kwargs: what the real pipeline takes: `top_k`, `function_to_apply`, `batch_size`, truncation.
            Arguments that only matter for loading (`device`, `revision`, `dtype` and others) are accepted and
            ignored.

    Without a config the labels are NEGATIVE and POSITIVE, those of transformers' default model for the task;
    for `sentiment` NEGATIVE, NEUTRAL and POSITIVE. With a config that names no labels they are LABEL_0,
    LABEL_1 and so on, as transformers gives them.

    Raises:
        ConfigurationError: the task is unknown or has no fake yet, or the config cannot be read.
        ModelNotFoundError: `model` is a folder without a `config.json`, or a `Path` that does not exist.
        KeyError: `function_to_apply` is unknown, as in the real pipeline.
    """
    resolved = resolve_task(task)
    if resolved.name != "text-classification":
        raise ConfigurationError(
            f"there is no fake for the task {resolved.name!r} yet",
            model=str(model),
            expected="text-classification, sentiment-analysis or sentiment",
            hint="mark the test with @pytest.mark.integration and run pytest with --real-models",
        )
    defaults = SENTIMENT_LABELS if task == "sentiment" else DEFAULT_LABELS
    facts = read_facts(model, config, default_labels=defaults)
    return FakeTextClassificationPipeline(task, facts, {**resolved.pipeline_kwargs, **pipeline_kwargs})
