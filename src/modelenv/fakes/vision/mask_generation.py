"""The fake of `MaskGenerationPipeline` (`transformers/pipelines/mask_generation.py`, 5.24)."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.chunked import FakeChunkPipeline
from modelenv.fakes.media import Image, Seen, as_predicate, read_image
from modelenv.fakes.scripting import When
from modelenv.fakes.tensors import as_tensor
from modelenv.fakes.vision.detecting import check_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NOTHING = object()
_MOST_MASKS = 5
_NUMBERS = (
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "mask_threshold",
    "crops_nms_thresh",
    "crops_n_layers",
    "points_per_crop",
)


class WhenMasked(When):
    """A rule for mask generation."""

    def returns(self, masks: Sequence[Any], scores: Sequence[float] | None = None) -> None:
        """Answer every matching image with these masks.

        Args:
            masks: Arrays of booleans, with the height and width of the image.
            scores: A score for each mask. By default, 0.95.

        Raises:
            ConfigurationError: There are not as many scores as masks, or a mask does not have two dimensions.
        """
        numpy = importlib.import_module("numpy")
        found = [numpy.asarray(mask, dtype=bool) for mask in masks]
        values = [0.95] * len(found) if scores is None else [float(score) for score in scores]
        if len(values) != len(found) or any(mask.ndim != 2 for mask in found):
            raise ConfigurationError(
                "the model cannot return these masks",
                expected="arrays with two dimensions, and one score for each",
                found=f"{len(found)} masks with {[mask.ndim for mask in found]} dimensions, {len(values)} scores",
                hint="write fake.when(…).returns([mask], [0.97])",
            )
        self._add((found, values))


class FakeMaskGenerationPipeline(FakeChunkPipeline):
    """Finds one to five rectangles in an image, sorted by score: `masks` are numpy arrays, `scores` is a tensor.

    If torch is not imported, the scores and boxes are `FakeTensor` objects.
    """

    __slots__ = ()

    def when(self, pattern: Any) -> WhenMasked:
        """Start a rule: `fake.when("cat.png").returns([mask], [0.97])`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenMasked(self._script, as_predicate(pattern))

    def _answer(self, image: Any = _NOTHING, *_: Any, **kwargs: Any) -> Any:
        if image is _NOTHING:
            raise TypeError("the call needs an image as the first argument, or as image=…")
        return self._run(image, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = ("points_per_batch", "output_rle_mask", "output_bboxes_mask", *_NUMBERS)
        return {name: kwargs[name] for name in names if name in kwargs}

    def _one(
        self,
        item: Any,
        /,
        *,
        points_per_batch: Any = 64,
        output_rle_mask: Any = False,
        output_bboxes_mask: Any = False,
        **thresholds: Any,
    ) -> Any:
        image = read_image(item)
        if points_per_batch is not None and points_per_batch <= 0:
            raise ValueError("points_per_batch must be at least 1, or None for all points at once")
        for name, value in thresholds.items():
            check_number(name, value)
        scripted = self._script.find((Seen.image(image),))  # type: ignore[arg-type]
        masks, scores = self._rectangles(image) if scripted is None else scripted
        lowest = thresholds.get("pred_iou_thresh", 0.88)
        if thresholds.get("stability_score_thresh", 0.95) >= 1:
            masks, scores = [], []
        kept = [(mask, score) for mask, score in zip(masks, scores, strict=True) if score > lowest]
        return _formatted(kept, output_rle_mask, output_bboxes_mask)

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Raise ValueError, as the real pipeline does, because it cannot join the points of several images."""
        super()._batch(items, **parameters)
        raise ValueError("this task does not support batches of images: use points_per_batch instead of batch_size")

    def _rectangles(self, image: Image) -> tuple[list[Any], list[float]]:
        numpy = importlib.import_module("numpy")
        count, *draws = seeded.units(1 + 3 * _MOST_MASKS, self._facts.name, image.digest)
        number = min(1 + int(count * _MOST_MASKS), image.width)
        masks = []
        for index in range(number):
            mask = numpy.zeros((image.height, image.width), dtype=bool)
            left, right = image.width * index // number, image.width * (index + 1) // number
            top = int(draws[index] * image.height / 2)
            mask[top : top + max(1, image.height // 2), left:right] = True
            masks.append(mask)
        scores = sorted((0.89 + 0.1 * unit for unit in draws[-number:]), reverse=True)
        return masks, scores


def _formatted(kept: list[tuple[Any, float]], with_lengths: Any, with_boxes: Any) -> dict[str, Any]:
    numpy = importlib.import_module("numpy")
    masks = [mask for mask, _ in kept]
    answer: dict[str, Any] = {
        "masks": [mask.copy() for mask in masks],
        "scores": as_tensor(numpy.array([score for _, score in kept], dtype="float32")),
    }
    if with_lengths:
        answer["rle_mask"] = [_run_lengths(mask) for mask in masks]
    if with_boxes:
        boxes = numpy.array([_box(mask) for mask in masks], dtype="int64").reshape(-1, 4)
        answer["bounding_boxes"] = as_tensor(boxes)
    return answer


def _run_lengths(mask: Any) -> dict[str, Any]:
    """Return the run lengths of a mask, column by column, starting with a run of empty pixels."""
    numpy = importlib.import_module("numpy")
    flat = mask.flatten(order="F")
    changes = numpy.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = [0, *changes.tolist(), len(flat)]
    counts = [end - start for start, end in pairwise(edges)]
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def _box(mask: Any) -> list[int]:
    numpy = importlib.import_module("numpy")
    rows, columns = numpy.flatnonzero(mask.any(axis=1)), numpy.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]
