"""The base of the fakes that rank a model's labels for an image, a sound or a video."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.media import as_predicate
from modelenv.fakes.text.text_classification import WhenClassified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modelenv.fakes.media import Seen

FUNCTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = MappingProxyType(
    {"softmax": seeded.softmax, "sigmoid": seeded.sigmoid, "none": list}
)
"""The functions that convert a model's outputs to scores, by their names in the real pipelines."""


class FakeLabelRanking(FakePipeline):
    """The base of the fakes that rank the model's labels."""

    __slots__ = ()

    def when(self, pattern: Any) -> WhenClassified:
        """Start a rule: `fake.when("cat.png").returns("cat", 0.9)`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the input as it
                was passed, or an image or an array with the same content. The later of two matching rules wins.

        Raises:
            ConfigurationError: The pattern is none of these.
        """
        return WhenClassified(self._script, as_predicate(pattern), self._facts)

    def _ranked(self, seen: Seen, function: Callable[[Sequence[float]], list[float]]) -> list[tuple[float, str]]:
        """Return all labels with their scores, the best first. A scripted label comes first among equal scores."""
        labels = self._facts.labels
        scripted = self._script.find((seen,))  # type: ignore[arg-type]
        if scripted is None:
            scores = function(seeded.logits(len(labels), self._facts.name, *seen.digests))
            first = -1
        else:
            scores, first = self._spread(scripted), scripted.index
        order = sorted(range(len(labels)), key=lambda index: (-scores[index], index != first))
        return [(scores[index], labels[index]) for index in order]

    def _spread(self, scripted: Any) -> list[float]:
        number = len(self._facts.labels)
        regression = self._facts.problem_type == "regression"
        rest = 0.0 if regression or number == 1 else (1 - scripted.score) / (number - 1)
        return [scripted.score if index == scripted.index else rest for index in range(number)]

    def _default_function(self) -> str:
        """Return the default function, as the audio and video pipelines choose it."""
        kinds = {"regression": "none", "multi_label_classification": "sigmoid"}
        return kinds.get(self._facts.problem_type or "", "softmax")


def check_function(name: Any) -> None:
    """Raise ValueError unless `name` is a function of the audio and video pipelines."""
    if name not in list(FUNCTIONS):
        raise ValueError(f"function_to_apply must be softmax, sigmoid or none, found {name!r}")


def cut(ranked: list[tuple[float, str]], top_k: Any) -> list[dict[str, Any]]:
    """Return the best `top_k`, as `torch.topk` selects them in the audio and video pipelines.

    Raises:
        TypeError: `top_k` is not a whole number.
        RuntimeError: `top_k` is negative.
    """
    if type(top_k) is not int:
        raise TypeError(f"top_k must be a whole number, found {top_k!r}")
    if top_k < 0:
        raise RuntimeError(f"top_k must not be negative, found {top_k}")
    return [{"score": score, "label": label} for score, label in ranked[:top_k]]
