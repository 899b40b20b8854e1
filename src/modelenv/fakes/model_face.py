"""What a fake shows as its `device` and its `model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelenv.fakes.facts import ModelFacts


@dataclass(frozen=True)
class FakeDevice:
    """Looks like `torch.device("cpu")`: a fake computes on no other device, whichever was asked for."""

    type: str = "cpu"
    index: int | None = None

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"


class FakeConfig:
    """The attributes of a model's config that are known; any other raises AttributeError."""

    __slots__ = ("_values",)

    def __init__(self, facts: ModelFacts) -> None:
        self._values: dict[str, Any] = {
            "architectures": None,
            **facts.config,
            "id2label": dict(enumerate(facts.labels)),
            "label2id": None if facts.label2id is None else dict(facts.label2id),
            "num_labels": len(facts.labels),
            "problem_type": facts.problem_type,
            "name_or_path": facts.name,
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_values")[name]
        except KeyError:
            raise AttributeError(
                f"the config of this fake has no {name!r}; pass config={{…}}, the content of the model's "
                f"config.json (known: {', '.join(sorted(self._values))})"
            ) from None

    def __repr__(self) -> str:
        return f"FakeConfig({self._values})"


@dataclass(frozen=True)
class FakeModel:
    """What stands for the model: its config and its name."""

    config: FakeConfig
    name_or_path: str
