"""The fake of `ImageFeatureExtractionPipeline` (`transformers/pipelines/image_feature_extraction.py`, 5.24)."""

from __future__ import annotations

import importlib
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.media import Image, Seen, as_predicate, read_image
from modelenv.fakes.scripting import Script, When
from modelenv.fakes.tensors import as_tensor
from modelenv.fakes.vision.shapes import output_shape, pooled_shape, width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.fakes.model.facts import ModelFacts

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_PROCESSING = frozenset(  # the arguments of every image processor (`ImagesKwargs`)
    """
    crop_size data_format default_to_square device disable_grouping do_center_crop do_convert_rgb do_normalize do_pad
    do_rescale do_resize image_mean image_seq_length image_std input_data_format pad_size resample rescale_factor
    return_tensors size
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)


class WhenEmbedded(When):
    """A rule for a feature extractor."""

    def __init__(self, script: Script, pattern: Any, width: int) -> None:
        super().__init__(script, pattern)
        self._width = width

    def returns(self, vector: Sequence[float]) -> None:
        """Answer every matching image with this vector, at every position of the output.

        Raises:
            ConfigurationError: The vector does not have the model's width.
        """
        found = [float(value) for value in vector]
        if len(found) != self._width:
            raise ConfigurationError(
                "the model cannot return this vector",
                expected=f"{self._width} numbers, the width of the model",
                found=f"{len(found)} numbers",
                hint="if the model has another width, pass config={'hidden_size': …}, or the model's folder",
            )
        self._add(found)


class FakeImageFeatureExtractionPipeline(FakePipeline):
    """Returns a vector of the model's width for each patch of an image, or a single one with `pool=True`."""

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the sizes of google/vit-base-patch16-224, transformers' default model for the task."""
        return {"model_type": "vit", "hidden_size": 768, "image_size": 224, "patch_size": 16}

    def when(self, pattern: Any) -> WhenEmbedded:
        """Start a rule: `fake.when("cat.png").returns([0.1] * 768)`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenEmbedded(self._script, as_predicate(pattern), width(self._facts))

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        processing = kwargs.get("image_processor_kwargs")
        parameters: dict[str, Any] = {} if processing is None else {"processing": {**processing}}
        for name in ("pool", "return_tensors"):
            if kwargs.get(name) is not None:
                parameters[name] = kwargs[name]
        return parameters

    def _one(
        self,
        item: Any,
        /,
        *,
        pool: Any = False,
        return_tensors: Any = False,
        processing: Mapping[str, Any] = _NOTHING,
    ) -> Any:
        image = read_image(item)
        _check_processing(self._facts, image, processing)
        shape = pooled_shape(self._facts) if pool else output_shape(self._facts)
        scripted = self._script.find((Seen.image(image),))  # type: ignore[arg-type]
        values = (
            [4 * unit - 2 for unit in seeded.units(prod(shape), self._facts.name, image.digest, str(bool(pool)))]
            if scripted is None
            else _everywhere(scripted, shape)
        )
        if return_tensors:
            return as_tensor(importlib.import_module("numpy").array(values, dtype="float32").reshape(shape))
        return _nested(values, shape)


def _check_processing(facts: ModelFacts, image: Image, processing: Mapping[str, Any]) -> None:
    """Raise the errors of the image processor or the model for these arguments of the processor.

    Raises:
        TypeError: The processor has no such argument.
        ValueError: The processed image does not have the model's size.
    """
    own = facts.processor("image_processor")
    unknown = [name for name in processing if name not in _PROCESSING and name not in own]
    if unknown:
        raise TypeError(f"the image processor does not accept {', '.join(unknown)}")
    expected = facts.config.get("image_size")
    if facts.config.get("model_type") != "vit" or not isinstance(expected, int):
        return
    size = (image.height, image.width)
    if processing.get("do_resize", True):
        wanted = processing.get("size", {"height": expected, "width": expected})
        size = (wanted.get("height", expected), wanted.get("width", expected))
    if size != (expected, expected):
        raise ValueError(f"the image is {size[0]} x {size[1]}, but the model needs {expected} x {expected}")


def _everywhere(vector: list[float], shape: tuple[int, ...]) -> list[float]:
    """Return the values of an output with the vector at each position. The channels of a map come first."""
    places = prod(shape) // len(vector)
    return [value for value in vector for _ in range(places)] if len(shape) == 4 else vector * places


def _nested(values: list[float], shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return values
    step = prod(shape[1:])
    return [_nested(values[index * step : (index + 1) * step], shape[1:]) for index in range(shape[0])]
