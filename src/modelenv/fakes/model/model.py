"""What a fake shows as its `device` and its `model`."""

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
    """Stands for `torch.device("cpu")` where torch is not imported. Like that, it equals no text."""

    type: str = "cpu"
    index: int | None = None

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"


def cpu() -> Any:
    """Return the CPU as a device of torch where that is imported, else as a `FakeDevice`."""
    torch = sys.modules.get("torch")
    return FakeDevice() if torch is None else torch.device("cpu")


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

    @property
    def _name_or_path(self) -> Any:
        return self._values["name_or_path"]

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of what is known, under the names of a `config.json`; a real config adds its defaults."""
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
    """What stands for the model: its config, its name, its device, and the dtype that its config names."""

    config: FakeConfig
    name_or_path: str
    training = False

    @property
    def device(self) -> Any:
        """The CPU: a fake computes on no other device, whichever was asked for."""
        return cpu()

    @property
    def dtype(self) -> Any:
        """The dtype that the config names, of torch where that is imported, else its name (`torch.float32`)."""
        name = getattr(self.config, "dtype", getattr(self.config, "torch_dtype", None))
        if not isinstance(name, str):
            raise AttributeError("the config names no dtype")  # noqa: TRY004 (then __getattr__ says more)
        name = name.removeprefix("torch.")
        return getattr(sys.modules.get("torch"), name, f"torch.{name}")

    def eval(self) -> FakeModel:
        """Return the model itself: it is not in training."""
        return self

    if not TYPE_CHECKING:  # a type checker must go on to flag unknown names

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"the model of a fake has no {name!r}: it has no weights, and knows what config.json says. If the "
                f"code under test needs it, {NEEDS_REAL_MODEL}"
            )
