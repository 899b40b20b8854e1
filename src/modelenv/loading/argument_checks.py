"""What the arguments of a load must not ask for: another model, pickled weights, or, in production, the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelenv.errors import ConfigurationError, UnsafeModelError

# Names of parts that transformers 5.24 takes by the name of a repo: those of `transformers.pipeline` (`tokenizer`,
# `assistant_model`, `decision_config`, `feature_extractor` …), of `from_pretrained` in `model_kwargs`
# (`adapter_kwargs`, with `_adapter_model_path`), and of its settings for quantization (`tokenizer`).
_PART = re.compile(
    r"(.*_)?(model|tokenizer|config|processor|extractor|decoder|vocoder|adapter|model_path|model_id|repo_id|repo)"
)
# Arguments whose value names code on the Hub, if it has a slash (`is_kernel` in integrations/hub_kernels.py).
_KERNELS = ("attn_implementation", "experts_implementation")
_ANY_KERNELS = ("use_kernels", "kernel_config", "allow_all_kernels")


def check_arguments(arguments: Mapping[str, Any], name: str, *, in_production: bool, allow_pickle: bool) -> None:
    """Refuse what would load another model than the one that was found and checked.

    Args:
        arguments: for the pipeline.
        name: the model's, for errors.
        in_production: whether the Hub is never asked.
        allow_pickle: whether pickled weights may be loaded.

    Raises:
        ConfigurationError: an argument names the model or the task once more, or a part that is on the Hub.
        UnsafeModelError: pickled weights were asked for.
    """
    for twice in ("model", "task"):
        if twice in arguments:
            raise ConfigurationError(
                f"{twice}= is no further argument of the pipeline",
                model=name,
                expected="load_model(name, task), each said once",
                found=f"{twice}={arguments[twice]!r}",
            )
    model_kwargs = arguments.get("model_kwargs") or {}
    if not allow_pickle and model_kwargs.get("use_safetensors") is False:
        raise UnsafeModelError(
            "pickled weights were asked for, and loading a pickle runs the code in it",
            model=name,
            found="use_safetensors=False in model_kwargs",
            hint="leave it out, or, if you trust the author, load_model(..., allow_pickle=True)",
        )
    for part, value in _on_the_hub(arguments) if in_production else ():
        raise ConfigurationError(
            f"the {part} would come from the Hub, which is not asked in production",
            model=name,
            expected="a folder, or none: it comes with the model",
            found=repr(value),
        )


def _on_the_hub(arguments: Mapping[str, Any], *within: str) -> Iterator[tuple[str, Any]]:
    """Yield the arguments whose values name something on the Hub, also those that are inside of others."""
    for name, value in arguments.items():
        where = " in ".join((str(name), *within))
        if isinstance(value, Mapping):
            yield from _on_the_hub(value, where)
        elif isinstance(value, tuple | list) and _PART.fullmatch(str(name)):  # as tokenizer=(name, arguments)
            yield from _of_a_pair(where, value)
        elif name in _KERNELS:
            if isinstance(value, str) and "/" in value:
                yield where, value
        elif name in _ANY_KERNELS:
            if value:
                yield where, value
        elif _PART.fullmatch(str(name)) and _is_a_name(value):
            yield where, value


def _of_a_pair(where: str, pair: tuple[Any, ...] | list[Any]) -> Iterator[tuple[str, Any]]:
    for value in pair:
        if isinstance(value, Mapping):
            yield from _on_the_hub(value, where)
        elif _is_a_name(value):
            yield where, value


def _is_a_name(value: Any) -> bool:
    """Whether the value is text that is no folder here: transformers then takes it for a repo's name."""
    return isinstance(value, str | os.PathLike) and not os.path.isdir(value)  # noqa: PTH112 - bytes, NUL: never raises
