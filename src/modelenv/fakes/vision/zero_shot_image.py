"""The fake of `ZeroShotImageClassificationPipeline` (`transformers/pipelines/zero_shot_image_classification.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.base import FakePipeline
from modelenv.fakes.labelling import WhenLabelled, check_labels, rank
from modelenv.fakes.media import Seen, as_predicate, read_image

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = object()


class FakeZeroShotImageClassificationPipeline(FakePipeline):
    """Ranks the labels of the call for an image.

    The scores of a SigLIP model are independent. Those of any other model sum to 1.
    """

    __slots__ = ()

    def when(self, pattern: Any) -> WhenLabelled:
        """Start a rule: `fake.when("cat.png").returns("a cat", 0.9)`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenLabelled(self._script, as_predicate(pattern), self._facts.name)

    def _answer(self, image: Any = _NOTHING, candidate_labels: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        if image is _NOTHING or candidate_labels is _NOTHING or args:
            raise TypeError("the call takes an image and candidate_labels")
        image = kwargs.pop("images", image)
        if image is None:
            raise ValueError("the image is None: pass an image, a path, a URL, or a list of these")
        return self._run(image, candidate_labels=candidate_labels, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: kwargs[name] for name in ("candidate_labels", "hypothesis_template") if name in kwargs}

    def _one(
        self, item: Any, /, *, candidate_labels: Any = None, hypothesis_template: str = "This is a photo of {}."
    ) -> Any:
        image = read_image(item)
        independent = "siglip" in str(self._facts.config.get("model_type", ""))
        ranked = rank(
            self._facts.name, self._script, Seen.image(image), candidate_labels, hypothesis_template, independent
        )
        check_labels(self._facts, self._tokenizer_of_model(), ranked, hypothesis_template)
        return ranked
