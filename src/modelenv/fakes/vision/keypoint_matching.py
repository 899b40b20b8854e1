"""The fake of `KeypointMatchingPipeline` (`transformers/pipelines/keypoint_matching.py`, 5.24)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.media import Image, Seen, as_predicate, is_pillow_image, read_image
from modelenv.fakes.scripting import When
from modelenv.fakes.vision.detecting import check_number

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = object()
_MOST_MATCHES = 8
_KEYS = ("keypoint_image_0", "keypoint_image_1", "score")


@dataclass(frozen=True)
class _Scripted:
    matches: tuple[Mapping[str, Any], ...]


class WhenMatched(When):
    """A rule for a keypoint matcher."""

    def returns(self, matches: Iterable[Mapping[str, Any]]) -> None:
        """Answer every matching pair of images with these matches, sorted by score.

        Args:
            matches: Dicts with `keypoint_image_0` and `keypoint_image_1` (each with `x` and `y`) and `score`. The
                threshold of a call still applies.

        Raises:
            ConfigurationError: A key is missing.
        """
        found = tuple(matches)
        for match in found:
            if not (isinstance(match, dict) and set(match) == set(_KEYS)):
                raise ConfigurationError(
                    "not a valid match of two keypoints",
                    expected="a dict with the keys " + ", ".join(_KEYS),
                    found=repr(match),
                    hint="use the format of the pipeline's results",
                )
        self._add(_Scripted(found))


class FakeKeypointMatchingPipeline(FakePipeline):
    """Matches points of two images, sorted by score. The points are inside the images."""

    __slots__ = ()

    def when(self, pattern: Any) -> WhenMatched:
        """Start a rule: `fake.when("left.png").returns([…])`. A pair matches if either image does.

        Args:
            pattern: A part of a path or URL, a compiled regular expression, a function of the pair as it was
                passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenMatched(self._script, as_predicate(pattern))

    def _answer(self, inputs: Any = _NOTHING, threshold: Any = 0.0, *args: Any, **kwargs: Any) -> Any:
        if inputs is _NOTHING or args:
            raise TypeError("the call takes the images and a threshold")
        if inputs is None:
            raise ValueError("the inputs are None: pass a pair of images, or a list of pairs")
        pairs = _pairs(inputs)
        answers = self._run(pairs, threshold=threshold, **kwargs)
        return answers[0] if len(pairs) == 1 else answers

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return _parameters(**kwargs)

    def _one(self, item: Any, /, *, threshold: Any = 0.0) -> Any:
        first, second = (read_image(image) for image in item)
        check_number("threshold", threshold)
        seen = Seen(item, (*first.names, *second.names), (first.digest, second.digest))
        scripted = self._script.find((seen,))  # type: ignore[arg-type]
        found = (
            self._matches(first, second)
            if scripted is None
            else [{key: match[key] for key in _KEYS} for match in scripted.matches]
        )
        return sorted(
            (match for match in found if match["score"] > threshold), key=lambda match: match["score"], reverse=True
        )

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Raise TypeError, as the real pipeline does, because it passes the model a list instead of arguments."""
        super()._batch(items, **parameters)
        raise TypeError("keypoint matching does not support batches: leave out batch_size")

    def _matches(self, first: Image, second: Image) -> list[dict[str, Any]]:
        count, *draws = seeded.units(1 + 5 * _MOST_MATCHES, self._facts.name, first.digest, second.digest)
        return [
            {
                "keypoint_image_0": _point(first, *draws[index : index + 2]),
                "keypoint_image_1": _point(second, *draws[index + 2 : index + 4]),
                "score": 0.3 + 0.69 * draws[index + 4],
            }
            for index in range(0, 5 * (1 + int(count * _MOST_MATCHES)), 5)
        ]


def _point(image: Image, across: float, down: float) -> dict[str, int]:
    return {"x": int(across * image.width), "y": int(down * image.height)}


def _pairs(inputs: Any) -> Any:
    if isinstance(inputs, Sequence):
        if len(inputs) == 2 and all(_is_image(image) for image in inputs):
            return [inputs]
        if all(
            isinstance(pair, Sequence) and len(pair) == 2 and all(_is_image(image) for image in pair)
            for pair in inputs
        ):
            return inputs
    raise ValueError("the inputs must be a pair of images, or a list of pairs; an image is a PIL image or a text")


def _is_image(value: object) -> bool:
    return is_pillow_image(value) or isinstance(value, str)


def _parameters(threshold: Any = None, timeout: Any = None) -> dict[str, Any]:
    return {} if threshold is None else {"threshold": threshold}
