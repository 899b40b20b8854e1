"""What an architecture consists of: a small model with random weights, and how a pipeline of it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..structure import describe

Describe = Callable[[Any], str]


@dataclass(frozen=True)
class Processor:
    """A tokenizer, or an image processor, by the name of its class in transformers; `make` makes one of our own."""

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
        task: as `transformers.pipeline` takes it.
        name: unique within the task.
        kind: the `model_type`.
        head: the class of transformers.
        config: what differs from the defaults of the kind.
        processors: what is saved beside the model.
        make: gives the input.
        calls: the keyword arguments of each call.
        describe: gives an answer's structure; nothing in it may depend on random weights.
        generation: of the generation config.
        refuses: whether each of the calls is an error.
        by_lock: whether what the lock holds of the configuration is enough for the same answers.
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
        except Exception as error:  # noqa: BLE001 (the class of the error is the answer)
            return type(error).__name__


def small(**values: Any) -> dict[str, Any]:
    """Return the sizes of a small transformer, by the names that most configs have."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return {**sizes, **values}


def two_sided(**values: Any) -> dict[str, Any]:
    """Return the sizes of a small encoder with a decoder, by the names of BART and DETR."""
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
             "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16}  # fmt: skip
    return {**sizes, **values}


def labelled(*labels: str) -> dict[str, Any]:
    """Return the labels of a config."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
