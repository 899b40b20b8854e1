"""Finds objects in an image, for the fakes of object detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.scripting import Script, When

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modelenv.fakes.media import Image

_BOX = ("xmin", "ymin", "xmax", "ymax")
_MOST_OBJECTS = 5
_SURE = 0.1  # the lowest of the usual thresholds
_UNSURE = 0.2  # scales the scores of `_object` to less than _SURE


@dataclass(frozen=True)
class ScriptedObjects:
    """The objects that a rule answers with."""

    objects: tuple[Mapping[str, Any], ...]


class WhenDetected(When):
    """A rule for an object detector."""

    def __init__(self, script: Script, pattern: Any, model: str, labels: tuple[str, ...] | None) -> None:
        super().__init__(script, pattern)
        self._model = model
        self._labels = labels

    def returns(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Answer every matching image with these objects. The threshold of a call still applies.

        Args:
            objects: Dicts with `score`, `label` and `box` (`xmin`, `ymin`, `xmax`, `ymax`), in the format of the
                pipeline. An empty list means that nothing is found.

        Raises:
            ConfigurationError: A key is missing, or the model has no such label.
        """
        found = tuple(objects)
        for one in found:
            self._check(one)
        self._add(ScriptedObjects(found))

    def _check(self, one: Any) -> None:
        complete = isinstance(one, dict) and {"score", "label", "box"} <= one.keys() and set(one["box"]) == set(_BOX)
        if not complete or not 0 <= one["score"] <= 1:
            raise ConfigurationError(
                "the model cannot return such an object",
                model=self._model,
                expected="a dict with a score from 0 to 1, a label, and a box of xmin, ymin, xmax and ymax",
                found=repr(one),
                hint="use the format of the pipeline's results",
            )
        if self._labels is not None and one["label"] not in self._labels:
            raise ConfigurationError(
                f"the model has no label {one['label']!r}",
                model=self._model,
                expected="one of " + ", ".join(map(str, self._labels)),
                hint="if the model has other labels, pass config={'id2label': {…}}, or the model's folder",
            )


def ordered(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scripted object with its keys in the pipeline's order."""
    return {"score": float(one["score"]), "label": one["label"], "box": {key: one["box"][key] for key in _BOX}}


def find_objects(image: Image, labels: Sequence[Any], *parts: str | bytes) -> list[dict[str, Any]]:
    """Return one to five objects with high scores, in no particular order, with boxes inside the image."""
    [count] = seeded.units(1, "count", image.digest, *parts)
    number = 1 + int(count * _MOST_OBJECTS)
    return _drawn(number, image, labels, "objects", *parts)


def complete(
    found: list[dict[str, Any]],
    number: int,
    threshold: float,
    image: Image,
    labels: Sequence[Any],
    *parts: str | bytes,
) -> list[dict[str, Any]]:
    """Return `number` objects: those that were found, and between them others with low scores.

    A detector returns a box for each of its queries, and the threshold removes most of them. Objects with low scores
    are not computed if the threshold would remove them.
    """
    if threshold >= _SURE:
        return found[:number]
    filled = _drawn(max(0, number - len(found)), image, labels, "unsure", *parts)
    for one in filled:
        one["score"] = _UNSURE * (1.01 - one["score"])  # never 0, which would not pass a threshold of 0
    kept = found[:number]
    draws = sorted(seeded.units(len(kept), "places", image.digest, *parts))
    places = [int(draw * (len(filled) + 1)) for draw in draws]
    for one, place in zip(reversed(kept), reversed(places), strict=True):  # the threshold does not change the order
        filled.insert(place, one)
    return filled


def _drawn(number: int, image: Image, labels: Sequence[Any], *parts: str | bytes) -> list[dict[str, Any]]:
    kind, *rest = parts
    draws = seeded.units(6 * number, kind, image.digest, *rest)
    return [_object(image, labels, draws[6 * index : 6 * index + 6]) for index in range(number)]


def _object(image: Image, labels: Sequence[Any], draws: list[float]) -> dict[str, Any]:
    score, label, left, top, width, height = draws
    xmin, ymin = int(left * image.width / 2), int(top * image.height / 2)
    return {
        "score": 0.55 + 0.44 * score,  # above the usual thresholds
        "label": labels[int(label * len(labels))],
        "box": {
            "xmin": xmin,
            "ymin": ymin,
            "xmax": min(image.width, xmin + 1 + int(width * image.width / 2)),
            "ymax": min(image.height, ymin + 1 + int(height * image.height / 2)),
        },
    }


def check_number(name: str, value: Any) -> None:
    """Raise TypeError unless `value` can be compared with a number."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, found {value!r}")
