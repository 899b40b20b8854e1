"""An architecture: a small model with random weights, and the calls of its pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..structure import describe

Describe = Callable[[Any], str]


@dataclass(frozen=True)
class Processor:
    """A tokenizer or an image processor: the name of its class in transformers, or a function that makes it."""

    name: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    make: Callable[[], Any] | None = None

    def build(self) -> Any:
        import transformers

        return self.make() if self.make is not None else getattr(transformers, self.name)(**self.values)


@dataclass(frozen=True)
class Architecture:
    """One architecture of a task.

    Attributes:
        task: The task of `transformers.pipeline`.
        name: A name that is unique within the task.
        kind: The `model_type`.
        head: The class in transformers.
        config: The values of the config that differ from the defaults of the kind.
        processors: The processors that are saved with the model.
        make: Returns the input.
        calls: The keyword arguments of each call.
        describe: Returns the structure of an answer. It must not depend on random weights.
        generation: The values of the generation config.
        refuses: Whether all calls are errors.
        by_lock: Whether the facts in the lock are enough for the same answers.
    """

    task: str
    name: str
    kind: str
    head: str
    config: dict[str, Any]
    processors: tuple[Processor, ...]
    make: Callable[[], Any]
    calls: tuple[dict[str, Any], ...] = ({},)
    describe: Describe = describe
    generation: dict[str, Any] = field(default_factory=dict)
    refuses: bool = False
    by_lock: bool = False

    def build(self, folder: Path) -> Path:
        """Write the model with its processors."""
        import torch
        import transformers

        config = transformers.AutoConfig.for_model(self.kind, **self.config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = getattr(transformers, self.head)(config).eval()
        if self.generation:
            model.generation_config = transformers.GenerationConfig(**self.generation)
        model.save_pretrained(folder)
        for processor in self.processors:
            processor.build().save_pretrained(folder)
        return folder

    def outcome(self, pipe: Any, call: dict[str, Any]) -> str:
        """Return the structure of the answer, or the class of the error."""
        try:
            return self.describe(pipe(self.make(), **call))
        except Exception as error:  # noqa: BLE001 - the class of the error is the outcome
            return type(error).__name__


def small(**values: Any) -> dict[str, Any]:
    """Return the sizes of a small transformer, under the names in most configs."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return {**sizes, **values}


def two_sided(**values: Any) -> dict[str, Any]:
    """Return the sizes of a small encoder and decoder, under the names of BART and DETR."""
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
             "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16}  # fmt: skip
    return {**sizes, **values}


def labelled(*labels: str) -> dict[str, Any]:
    """Return the part of a config with these labels."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
