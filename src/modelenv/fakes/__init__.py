"""Fakes: stand-ins with the structure of a real pipeline's output, without torch, weights or network.

A fake answers in every call form as the real pipeline of transformers 5 does; the contract tests hold both
against each other. It is also a mock (`assert_called_once_with`, `return_value`, `side_effect`), and
`fake.when("crash").returns("NEGATIVE", 0.97)` scripts an answer, in the natural form of the task.

What a fake does not promise: that an answer has anything to do with the meaning of the input (it is drawn from a
hash of the model's name and the input).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import registry
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.model.facts import read_facts
from modelenv.fakes.parts import NEEDS_REAL_MODEL
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        task: a task of transformers or one of its aliases, or `sentiment` (text classification, all scores).
        model: a repo id, an alias of `[tool.modelenv.models]`, or a folder, of which the configuration and tokenizer
            files are read, never the weights. The same name and input give the same answer in every process.
        config: the content of the model's `config.json`; takes precedence over a folder's, and over the facts that
            the project's lock has of a repo id or an alias.
        pipeline_kwargs: what the real pipeline of the task takes, such as `top_k` or `batch_size`. Arguments
            that only matter for loading (`device`, `revision`, `dtype` and others) are accepted and ignored.

    Returns:
        The `FakePipeline` of the task's family (typed as Any, since each has its own call and its own `when`).

    Where nothing is known of the model, each family has defaults of its own: those of transformers' default model
    for the task, and for `sentiment` the labels NEGATIVE, NEUTRAL and POSITIVE. With a config that names no labels
    they are LABEL_0, LABEL_1 and so on, as transformers gives them.

    Raises:
        ConfigurationError: the task is unknown or has no fake, or the config cannot be read.
        LockfileError: the project's lock cannot be read, or was made from another declaration of the alias.
        ModelNotFoundError: `model` is a folder without a `config.json`, or a `Path` that does not exist.
        Exception: an argument is wrong; the class is that of the real pipeline.
    """
    if config is None and isinstance(model, str) and not Path(model).is_dir():
        from modelenv.locks.locked_models import locked_config

        model, config = locked_config(model)
    return make_fake(task, model, config, pipeline_kwargs)


def make_fake(
    task: str, model: str | Path, config: Mapping[str, Any] | None, pipeline_kwargs: Mapping[str, Any]
) -> Any:
    """Return the fake as `fake_pipeline` does, of what is given alone: no project, no lock."""
    resolved = resolve_task(task)
    family = registry.find_family(resolved.name)
    if family is None:
        raise ConfigurationError(
            f"there is no fake for the task {resolved.name!r} yet",
            model=str(model),
            expected="one of " + ", ".join(sorted(registry.FAMILIES)),
            hint=NEEDS_REAL_MODEL,
        )
    facts = read_facts(model, config, defaults=family.default_config(task))
    return family(task, facts, {**resolved.pipeline_kwargs, **pipeline_kwargs})
