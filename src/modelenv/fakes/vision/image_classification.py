"""The fake of `ImageClassificationPipeline` (`transformers/pipelines/image_classification.py`, 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.classifying import FUNCTIONS, FakeLabelRanking
from modelenv.fakes.media import Seen, array_as_image, is_array, read_image
from modelenv.fakes.vision.image_inputs import take_images

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeImageClassificationPipeline(FakeLabelRanking):
    """Returns the best five labels for an image, or `top_k` labels.

    `top_k=None` means five, as in the real pipeline.
    """

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return typical labels of image classifiers."""
        labels = ("cat", "dog", "bird", "car", "tree", "person", "house", "flower", "boat", "food")
        return {"id2label": dict(enumerate(labels))}

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(take_images(args, kwargs), **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return _parameters(**kwargs)

    def _one(self, item: Any, /, *, top_k: Any = 5, function: Any = None) -> Any:
        image = array_as_image(item) if is_array(item) else read_image(item)
        number = len(self._facts.labels)
        if top_k > number:
            top_k = number
        if function is None:
            function = self._default_function()
        if function not in list(FUNCTIONS):  # a list, because the function can be any object
            raise ValueError(f"function_to_apply must be softmax, sigmoid or none, found {function!r}")
        ranked = self._ranked(Seen.image(image), FUNCTIONS[function])
        return [{"label": label, "score": score} for score, label in ranked][:top_k]

    def _default_function(self) -> str:
        single = len(self._facts.labels) == 1 and self._facts.problem_type != "regression"
        return "sigmoid" if single else super()._default_function()


def _parameters(top_k: Any = None, function_to_apply: Any = None, timeout: Any = None) -> dict[str, Any]:
    parameters = {} if top_k is None else {"top_k": top_k}
    if isinstance(function_to_apply, str):
        function_to_apply = function_to_apply.lower()
        if function_to_apply not in FUNCTIONS:
            raise ValueError(f"function_to_apply must be softmax, sigmoid or none, found {function_to_apply!r}")
    if function_to_apply is not None:
        parameters["function"] = function_to_apply
    return parameters
