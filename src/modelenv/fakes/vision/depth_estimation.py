"""The fake of `DepthEstimationPipeline` (`transformers/pipelines/depth_estimation.py`, 5.24)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.media import Image, Seen, as_predicate, read_image
from modelenv.fakes.scripting import When
from modelenv.fakes.tensors import as_tensor
from modelenv.fakes.vision.image_inputs import take_images

if TYPE_CHECKING:
    from collections.abc import Mapping


class WhenMeasured(When):
    """A rule for a depth estimator."""

    def returns(self, depth: Any) -> None:
        """Answer every matching image with this depth.

        Args:
            depth: The depth of each pixel, as nested lists or as an array with two dimensions. It is not resized.

        Raises:
            ConfigurationError: `depth` does not have two dimensions.
        """
        numpy = importlib.import_module("numpy")
        array = numpy.asarray(depth, dtype="float32")
        if array.ndim != 2 or not array.size:
            raise ConfigurationError(
                "a depth must have rows and columns",
                expected="rows of numbers: an array with two dimensions",
                found=f"an array of the shape {array.shape}",
                hint="write fake.when(…).returns([[1.0, 2.0], [3.0, 4.0]])",
            )
        self._add(array)


class FakeDepthEstimationPipeline(FakePipeline):
    """Returns a smooth slope for an image: `predicted_depth`, a tensor, and `depth`, a grey image of the same size.

    If torch is not imported, `predicted_depth` is a `FakeTensor`.
    """

    __slots__ = ()

    def when(self, pattern: Any) -> WhenMeasured:
        """Start a rule: `fake.when("room.png").returns([[1.0, 2.0], [3.0, 4.0]])`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the image as it
                was passed, or an image with the same content. The later of two matching rules wins.
        """
        return WhenMeasured(self._script, as_predicate(pattern))

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(take_images(args, kwargs), **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {}  # the real pipeline accepts any argument, and uses only `timeout`

    def _one(self, item: Any, /) -> Any:
        image = read_image(item)
        scripted = self._script.find((Seen.image(image),))  # type: ignore[arg-type]
        depth = self._slope(image) if scripted is None else scripted
        return {"predicted_depth": as_tensor(depth.copy()), "depth": _as_grey(depth)}

    def _slope(self, image: Image) -> Any:
        numpy = importlib.import_module("numpy")
        near, right, down = seeded.units(3, self._facts.name, image.digest)
        columns = numpy.linspace(0, 0.5 + right, image.width, dtype="float32")
        rows = numpy.linspace(0, 0.5 + down, image.height, dtype="float32")
        slope = numpy.float32(0.5 + near) + rows[:, None] + columns[None, :]
        # As in the real pipeline, one row or column is a line, and one pixel is an IndexError of Pillow.
        return slope.squeeze()


def _as_grey(depth: Any) -> Any:
    span = float(depth.max() - depth.min()) or 1.0
    grey = (depth - depth.min()) / span
    return importlib.import_module("PIL.Image").fromarray((grey * 255).astype("uint8"))
