"""The fake of `ZeroShotObjectDetectionPipeline` (`transformers/pipelines/zero_shot_object_detection.py`, 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.chunked import FakeChunkPipeline
from modelenv.fakes.media import Image, Seen, as_predicate, is_array, is_pillow_image, read_image
from modelenv.fakes.vision.detecting import WhenDetected, check_number, complete, find_objects, ordered
from modelenv.fakes.vision.heads import boxes_of_a_label

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = object()


class FakeZeroShotObjectDetectionPipeline(FakeChunkPipeline):
    """Finds one to five objects with the call's labels in an image, sorted by score, with boxes inside the image.

    A threshold below 0.1 returns more: at 0, as many for each label as the model has patches or queries.
    """

    __slots__ = ()

    def when(self, pattern: Any) -> WhenDetected:
        """Start a rule: `fake.when("street.png").returns([{"score": 0.9, "label": "a car", "box": {…}}])`.

        Objects whose label is not in the call are left out of the answer.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenDetected(self._script, as_predicate(pattern), self._facts.name, None)

    def _answer(self, image: Any = _NOTHING, candidate_labels: Any = None, *args: Any, **kwargs: Any) -> Any:
        if image is _NOTHING or args:
            raise TypeError("the call takes an image and candidate_labels")
        labels = kwargs.pop("text_queries", candidate_labels)
        if isinstance(image, str) or is_pillow_image(image):
            return self._run({"image": image, "candidate_labels": labels}, **kwargs)
        if isinstance(image, (list, tuple)) and _are_images(image):
            per_image = _labels_per_image(labels, len(image))
            inputs = [
                {"image": one, "candidate_labels": offered} for one, offered in zip(image, per_image, strict=True)
            ]
            return list(self._run((one for one in inputs), **kwargs))
        return self._run(image, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: kwargs[name] for name in ("threshold", "top_k") if name in kwargs}

    def _one(self, item: Any, /, *, threshold: Any = 0.1, top_k: Any = None) -> Any:
        image = read_image(item["image"])
        labels = item["candidate_labels"]
        if isinstance(labels, str):
            labels = labels.split(",")
        for label in labels:
            if not isinstance(label, (str, list)):
                raise ValueError(f"a label must be a text, found {label!r}")  # noqa: TRY004 - as in the real pipeline
        if not labels:
            raise StopIteration  # the real pipeline has no first answer
        check_number("threshold", threshold)
        found = sorted(self._find(image, labels, threshold), key=lambda one: one["score"], reverse=True)
        found = [one for one in found if one["score"] > threshold]
        return found[:top_k] if top_k else found

    def _singly(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Answer the inputs of a batch. As in the real pipeline, those without labels are left out."""
        return [self._one(item, **parameters) for item in items if not _asks_nothing(item)]

    def _find(self, image: Image, labels: Any, threshold: float) -> list[dict[str, Any]]:
        texts = list(map(str, labels))
        scripted = self._script.find((Seen.image(image, *texts),))  # type: ignore[arg-type]
        if scripted is not None:
            return [ordered(one) for one in scripted.objects if one["label"] in labels]
        found = find_objects(image, labels, self._facts.name, *texts)
        number = boxes_of_a_label(self._facts)
        return [
            one
            for index, label in enumerate(labels)
            for one in complete(
                [each for each in found if each["label"] == label and label not in labels[:index]],
                number, threshold, image, [label], self._facts.name, *texts[: index + 1],
            )
        ]  # fmt: skip


def _asks_nothing(item: Any) -> bool:
    return isinstance(item, dict) and item.get("candidate_labels") in ([], ())


def _are_images(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_are_images(one) for one in value)
    return is_pillow_image(value) or is_array(value)


def _labels_per_image(labels: Any, number: int) -> Any:
    if isinstance(labels, str) or _are_texts(labels):
        return [labels] * number
    if not isinstance(labels, (list, tuple)) or not all(_are_texts(one) for one in labels):
        raise ValueError("candidate_labels must be a text, a list of texts, or a list of texts for each image")
    if len(labels) != number:
        raise ValueError(f"there are {number} images, but {len(labels)} lists of labels")
    return labels


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
