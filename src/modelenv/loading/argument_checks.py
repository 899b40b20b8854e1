"""Rejects arguments of a load that request another model, pickled weights, or, in production, a download."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelenv.errors import ConfigurationError, UnsafeModelError

# Arguments whose value can be a repo id in transformers 5.24: those of `transformers.pipeline` (`tokenizer`,
# `assistant_model`, `decision_config`, `feature_extractor` …), those of `from_pretrained` in `model_kwargs`
# (`adapter_kwargs`, with `_adapter_model_path`), and those of its quantization settings (`tokenizer`).
_PART = re.compile(
    r"(.*_)?(model|tokenizer|config|processor|extractor|decoder|vocoder|adapter|model_path|model_id|repo_id|repo)"
)
# Arguments whose value refers to code on the Hub if it contains a slash (`is_kernel` in integrations/hub_kernels.py).
_KERNELS = ("attn_implementation", "experts_implementation")
_ANY_KERNELS = ("use_kernels", "kernel_config", "allow_all_kernels")


def check_arguments(arguments: Mapping[str, Any], name: str, *, in_production: bool, allow_pickle: bool) -> None:
    """Check that the arguments cannot load anything but the model that was found and checked.

    Args:
        arguments: The arguments of the pipeline.
        name: The model's name, for errors.
        in_production: Whether nothing can be downloaded from the Hub.
        allow_pickle: Whether pickled weights can be loaded.

    Raises:
        ConfigurationError: An argument repeats the model or the task, or would be downloaded in production.
        UnsafeModelError: An argument requests pickled weights, and `allow_pickle` is false.
    """
    for twice in ("model", "task"):
        if twice in arguments:
            raise ConfigurationError(
                f"{twice}= cannot be passed as an argument of the pipeline",
                model=name,
                expected="load_model(name, task)",
                found=f"{twice}={arguments[twice]!r}",
            )
    model_kwargs = arguments.get("model_kwargs") or {}
    if not allow_pickle and model_kwargs.get("use_safetensors") is False:
        raise UnsafeModelError(
            "pickled weights were requested, and loading a pickle runs the code in it",
            model=name,
            found="use_safetensors=False in model_kwargs",
            hint="remove it, or, if you trust the author, call load_model(..., allow_pickle=True)",
        )
    for part, value in _on_the_hub(arguments) if in_production else ():
        raise ConfigurationError(
            f"the {part} would come from the Hub, and nothing is downloaded in production",
            model=name,
            expected="a local folder, or no value, to use what comes with the model",
            found=repr(value),
        )


def _on_the_hub(arguments: Mapping[str, Any], *within: str) -> Iterator[tuple[str, Any]]:
    """Yield the arguments whose values refer to the Hub, including those nested in other arguments."""
    for name, value in arguments.items():
        where = " in ".join((str(name), *within))
        if isinstance(value, Mapping):
            yield from _on_the_hub(value, where)
        elif isinstance(value, tuple | list) and _PART.fullmatch(str(name)):  # such as tokenizer=(name, arguments)
            yield from _in_pair(where, value)
        elif name in _KERNELS:
            if isinstance(value, str) and "/" in value:
                yield where, value
        elif name in _ANY_KERNELS:
            if value:
                yield where, value
        elif _PART.fullmatch(str(name)) and _is_repo_id(value):
            yield where, value


def _in_pair(where: str, pair: tuple[Any, ...] | list[Any]) -> Iterator[tuple[str, Any]]:
    for value in pair:
        if isinstance(value, Mapping):
            yield from _on_the_hub(value, where)
        elif _is_repo_id(value):
            yield where, value


def _is_repo_id(value: Any) -> bool:
    """Whether the value is text but not an existing folder, so that transformers would treat it as a repo id."""
    return isinstance(value, str | os.PathLike) and not os.path.isdir(value)  # noqa: PTH112 - never raises, even for bytes or NUL
