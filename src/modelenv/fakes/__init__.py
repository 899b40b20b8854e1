"""Fakes: stand-ins with the structure of a real pipeline's output, without torch, weights or network.

A fake accepts every call form of the real pipeline of transformers 5, and returns the same structure. The contract
tests compare the two. A fake is also a mock (`assert_called_once_with`, `return_value`, `side_effect`), and
`fake.when("crash").returns("NEGATIVE", 0.97)` scripts an answer, in the natural form of the task.

An answer does not reflect the meaning of the input: it is derived from a hash of the model's name and the input.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import registry
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.model.facts import ModelFacts, read_facts
from modelenv.fakes.parts import NEEDS_REAL_MODEL
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.locks.values import Fact

__all__ = ["FakePipeline", "fake_pipeline", "make_fake"]


def fake_pipeline(
    task: str,
    *,
    model: str | Path = "fake-model",
    config: Mapping[str, Any] | None = None,
    **pipeline_kwargs: Any,
) -> Any:
    """Return a fake of the pipeline that `transformers.pipeline(task, model, **pipeline_kwargs)` would be.

    Args:
        task: A task of transformers or one of its aliases, or `sentiment` (text classification, all scores).
        model: A repo id, an alias of `[tool.modelenv.models]`, or a folder, whose configuration and tokenizer files
            are read, but never the weights. The same name and input have the same answer in every process.
        config: The content of the model's `config.json`. It takes precedence over the config of a folder, and over
            the facts in the project's lock for a repo id or an alias.
        pipeline_kwargs: The arguments of the task's real pipeline, such as `top_k` or `batch_size`. Arguments that
            only matter for loading (`device`, `revision`, `dtype` and others) are accepted and ignored.

    Returns:
        The `FakePipeline` of the task's family. Its type is Any, because each family has its own call and `when`.

    If nothing is known about the model, each family has its own defaults: those of transformers' default model for
    the task, and the labels NEGATIVE, NEUTRAL and POSITIVE for `sentiment`. If a config names no labels, they are
    LABEL_0, LABEL_1 and so on, as in transformers.

    Raises:
        ConfigurationError: The task is unknown or has no fake, or the config cannot be read.
        LockfileError: The project's lock cannot be read, or was made from another declaration of the alias.
        ModelNotFoundError: `model` is a folder without a `config.json`, or a `Path` that does not exist.
        Exception: An argument is invalid. The class of the error is that of the real pipeline.
    """
    if config is None and isinstance(model, str) and not os.path.isdir(model):  # noqa: PTH112 - tests make many fakes
        from modelenv.locks.locked_models import locked_facts

        model, facts = locked_facts(model)
        return fake_of_facts(task, model, facts, pipeline_kwargs)
    return make_fake(task, model, config, pipeline_kwargs)


def fake_of_facts(task: str, model: str, facts: Mapping[str, Fact] | None, pipeline_kwargs: Mapping[str, Any]) -> Any:
    """Return the fake of a model with these facts from a lock. None: nothing is known about the model."""
    if not facts:
        return make_fake(task, model, None, pipeline_kwargs)
    from modelenv.locks.facts import config_of, tokenizer_config_of

    return make_fake(task, model, config_of(facts), pipeline_kwargs, tokenizer=tokenizer_config_of(facts))


def make_fake(
    task: str,
    model: str | Path,
    config: Mapping[str, Any] | None,
    pipeline_kwargs: Mapping[str, Any],
    *,
    tokenizer: Mapping[str, Any] | None = None,
) -> Any:
    """Return a fake, like `fake_pipeline`, but without reading the project or its lock.

    Args:
        task: The task, as for `fake_pipeline`.
        model: The model, as for `fake_pipeline`.
        config: The content of `config.json`.
        pipeline_kwargs: The arguments of the pipeline, as for `fake_pipeline`.
        tokenizer: The content of `tokenizer_config.json`, if the model is not a folder.
    """
    resolved = resolve_task(task)
    family = registry.find_family(resolved.name)
    if family is None:
        raise ConfigurationError(
            f"there is no fake for the task {resolved.name!r} yet",
            model=str(model),
            expected="one of " + ", ".join(sorted(registry.FAMILIES)),
            hint=NEEDS_REAL_MODEL,
        )
    if config is None and not tokenizer and isinstance(model, str) and not os.path.isdir(model):  # noqa: PTH112
        facts = _facts_of_name(family, task, model)
    else:
        facts = read_facts(model, config, defaults=family.default_config(task), tokenizer=tokenizer)
    return family(task, facts, {**resolved.pipeline_kwargs, **pipeline_kwargs})


@lru_cache(maxsize=64)  # tests make many fakes of one name
def _facts_of_name(family: type[FakePipeline], task: str, model: str) -> ModelFacts:
    """Return the facts of a model if only its name is known."""
    return read_facts(model, None, defaults=family.default_config(task))
