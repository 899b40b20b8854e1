"""The fake of `ImageSegmentationPipeline` (`transformers/pipelines/image_segmentation.py`, 5.24)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.media import Image, Seen, as_predicate, is_pillow_image, read_image
from modelenv.fakes.scripting import Script, When
from modelenv.fakes.vision.detecting import check_number
from modelenv.fakes.vision.image_inputs import take_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modelenv.fakes.model.facts import ModelFacts

_MOST_SEGMENTS = 4
# The models whose image processor has `post_process_panoptic_segmentation`. Others only segment semantically.
_PANOPTIC = (
    "conditional_detr", "detr", "eomt", "eomt_dinov3", "mask2former", "maskformer", "oneformer", "videomt",
)  # fmt: skip
# Their instance segmentation does not accept `mask_threshold`, but the pipeline passes it.
_NO_MASK_THRESHOLD = ("eomt", "eomt_dinov3", "videomt")


@dataclass(frozen=True)
class _Scripted:
    segments: tuple[Mapping[str, Any], ...]


class WhenSegmented(When):
    """A rule for image segmentation."""

    def __init__(self, script: Script, pattern: Any, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, segments: Iterable[Mapping[str, Any]]) -> None:
        """Answer every matching image with these segments. The threshold of a call still applies.

        Args:
            segments: Dicts with `score` (a number, or None for semantic segmentation), `label` and `mask` (a Pillow
                image), in the format of the pipeline.

        Raises:
            ConfigurationError: A key is missing, or the model has no such label.
        """
        found = tuple(segments)
        for one in found:
            if not (
                isinstance(one, dict) and {"score", "label", "mask"} <= one.keys() and is_pillow_image(one["mask"])
            ):
                raise ConfigurationError(
                    "the model cannot return such a segment",
                    model=self._facts.name,
                    expected="a dict with a score, a label, and a mask that is a Pillow image",
                    found=repr(one),
                    hint="use the format of the pipeline's results",
                )
            if one["label"] not in self._facts.labels:
                raise ConfigurationError(
                    f"the model has no label {one['label']!r}",
                    model=self._facts.name,
                    expected="one of " + ", ".join(map(str, self._facts.labels)),
                    hint="if the model has other labels, pass config={'id2label': {…}}, or the model's folder",
                )
        self._add(_Scripted(found))


class FakeImageSegmentationPipeline(FakePipeline):
    """Divides an image into vertical strips, each with a label of the model and a black and white mask.

    The score of a panoptic or instance segment is a number. In semantic segmentation it is None, and the masks cover
    the whole image.
    """

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the config of a panoptic model with some labels of the COCO data set."""
        labels = ("person", "bicycle", "car", "bird", "cat", "dog", "tree", "sky", "grass", "road", "water")
        return {"id2label": dict(enumerate(labels)), "model_type": "detr"}

    def when(self, pattern: Any) -> WhenSegmented:
        """Start a rule: `fake.when("cat.png").returns([{"score": 0.9, "label": "cat", "mask": mask}])`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenSegmented(self._script, as_predicate(pattern), self._facts)

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(take_images(args, kwargs), **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = ("subtask", "threshold", "mask_threshold", "overlap_mask_area_threshold")
        return {name: kwargs[name] for name in names if name in kwargs}

    def _one(
        self,
        item: Any,
        /,
        *,
        subtask: Any = None,
        threshold: Any = 0.9,
        mask_threshold: Any = 0.5,
        overlap_mask_area_threshold: Any = 0.5,
    ) -> Any:
        image = read_image(item)
        kind = self._facts.config.get("model_type")
        if kind in _NO_MASK_THRESHOLD and subtask == "instance":
            raise TypeError(f"the subtask 'instance' of a {kind} model does not accept mask_threshold")
        panoptic = kind in _PANOPTIC
        scored = panoptic and subtask in {"panoptic", "instance", None}
        if not scored and subtask not in {"semantic", None}:
            raise ValueError(f"the subtask {subtask!r} is not supported by this model")
        if scored and not _may_find(threshold, mask_threshold, overlap_mask_area_threshold):
            return []
        scripted = self._script.find((Seen.image(image),))  # type: ignore[arg-type]
        if scripted is not None:
            found = [{key: one[key] for key in ("score", "label", "mask")} for one in scripted.segments]
        else:
            found = self._segments(image, scored)
        return [one for one in found if one["score"] is None or one["score"] > threshold]

    def _segments(self, image: Image, scored: bool) -> list[dict[str, Any]]:
        labels = self._facts.labels
        count, *draws = seeded.units(1 + 2 * _MOST_SEGMENTS, self._facts.name, image.digest)
        number = min(1 + int(count * _MOST_SEGMENTS), image.width, len(labels))
        chosen = sorted(range(len(labels)), key=lambda index: draws[index % len(draws)] + index * 1e-9)[:number]
        if not scored:
            chosen.sort()  # semantic segments are in the order of the model's labels
        edges = [image.width * index // number for index in range(number + 1)]
        return [
            {
                "score": round(0.905 + 0.09 * draws[_MOST_SEGMENTS + index], 6) if scored else None,
                "label": labels[label],
                "mask": _strip(image, edges[index], edges[index + 1]),
            }
            for index, label in enumerate(chosen)
        ]


def _may_find(threshold: Any, mask_threshold: Any, overlap_mask_area_threshold: Any) -> bool:
    """Whether a segment can pass these thresholds. Those after the first impossible one are not checked."""
    check_number("threshold", threshold)
    if threshold >= 1:
        return False
    check_number("mask_threshold", mask_threshold)
    if mask_threshold > 1:
        return False
    check_number("overlap_mask_area_threshold", overlap_mask_area_threshold)
    return bool(overlap_mask_area_threshold < 1)


def _strip(image: Image, left: int, right: int) -> Any:
    mask = importlib.import_module("PIL.Image").new("L", (image.width, image.height), 0)
    mask.paste(255, (left, 0, right, image.height))
    return mask
