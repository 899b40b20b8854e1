"""The fake of `ObjectDetectionPipeline` (`transformers/pipelines/object_detection.py`, 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.base import FakePipeline
from modelenv.fakes.media import Image, Seen, as_predicate, read_image
from modelenv.fakes.vision.detecting import WhenDetected, check_number, complete, find_objects, ordered
from modelenv.fakes.vision.heads import read_head

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeObjectDetectionPipeline(FakePipeline):
    """Finds one to five objects in an image, with boxes inside it. The model's config decides their order.

    A threshold below 0.1 returns more: at 0, as many as the model has queries or detection tokens.
    """

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the model type of facebook/detr-resnet-50, transformers' default model, with some labels."""
        labels = ("person", "bicycle", "car", "bus", "truck", "bird", "cat", "dog", "chair", "table")
        return {"id2label": dict(enumerate(labels)), "model_type": "detr", "num_queries": 100}

    def when(self, pattern: Any) -> WhenDetected:
        """Start a rule: `fake.when("street.png").returns([{"score": 0.9, "label": "car", "box": {…}}])`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenDetected(self._script, as_predicate(pattern), self._facts.name, self._facts.labels)

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        if "images" in kwargs and "inputs" not in kwargs:
            kwargs["inputs"] = kwargs.pop("images")
        return super()._answer(*args, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {"threshold": kwargs["threshold"]} if "threshold" in kwargs else {}

    def _one(self, item: Any, /, *, threshold: Any = 0.5) -> Any:
        image = read_image(item)
        check_number("threshold", threshold)
        scripted = self._script.find((Seen.image(image),))  # type: ignore[arg-type]
        found = self._find(image, threshold) if scripted is None else [ordered(one) for one in scripted.objects]
        return [one for one in found if one["score"] > threshold]

    def _find(self, image: Image, threshold: float) -> list[dict[str, Any]]:
        labels, name, head = self._facts.labels, self._facts.name, read_head(self._facts)
        found = find_objects(image, labels, name)
        if head.boxes is not None:
            found = complete(found, head.boxes, threshold, image, labels, name)
        return sorted(found, key=lambda one: one["score"], reverse=True) if head.is_ranked else found
