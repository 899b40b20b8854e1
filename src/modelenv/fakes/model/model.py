"""The `device` and the `model` of a fake."""

from __future__ import annotations

import sys
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from modelenv.fakes.parts import NEEDS_REAL_MODEL

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts


@dataclass(frozen=True)
class FakeDevice:
    """Replaces `torch.device("cpu")` if torch is not imported. Like that, it is not equal to any text."""

    type: str = "cpu"
    index: int | None = None

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"


def cpu() -> Any:
    """Return the CPU as a torch device if torch is imported, otherwise as a `FakeDevice`."""
    torch = sys.modules.get("torch")
    return FakeDevice() if torch is None else torch.device("cpu")


class FakeConfig:
    """The known attributes of a model's config. Any other raises AttributeError."""

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

    @property
    def _name_or_path(self) -> Any:
        return self._values["name_or_path"]

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the known values, under the names of a `config.json`. A real config adds its defaults."""
        computed = ("name_or_path", "num_labels")
        return deepcopy({name: value for name, value in self._values.items() if name not in computed})

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
    """Replaces the model. It has the model's config, name and device, and the dtype in the config."""

    config: FakeConfig
    name_or_path: str
    training = False

    @property
    def device(self) -> Any:
        """The CPU, even if another device was requested."""
        return cpu()

    @property
    def dtype(self) -> Any:
        """The dtype in the config, as a torch dtype if torch is imported, otherwise its name (`torch.float32`)."""
        name = getattr(self.config, "dtype", getattr(self.config, "torch_dtype", None))
        if not isinstance(name, str):
            raise AttributeError("the config names no dtype")  # noqa: TRY004 - __getattr__ replaces it
        name = name.removeprefix("torch.")
        return getattr(sys.modules.get("torch"), name, f"torch.{name}")

    def eval(self) -> FakeModel:
        """Return the model itself, because it is never in training mode."""
        return self

    if not TYPE_CHECKING:  # so that a type checker still reports unknown names

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"the model of a fake has no {name!r}: it has only the values in config.json, and no weights. If the "
                f"code under test needs it, {NEEDS_REAL_MODEL}"
            )
