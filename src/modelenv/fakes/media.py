"""What the fakes read of an image or a sound: its size or length, and a hash of its content.

Nothing is fetched: for an address the text of the address stands for the content, and a usual size for its size.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import re
import sys
from dataclasses import dataclass
from io import BytesIO
from typing import Any

_SIZE_OF_THE_UNSEEN = (640, 480)


@dataclass(frozen=True)
class Image:
    """An image as a fake sees it.

    Attributes:
        given: as it was passed: a `PIL.Image`, an array, a path, an address or base64 text.
        digest: a hash of its pixels, or of its address.
        width: in pixels, after the rotation that its EXIF data ask for.
        height: in pixels.
    """

    given: Any
    digest: bytes
    width: int
    height: int

    @property
    def names(self) -> tuple[str, ...]:
        """The texts that a rule can match: the path or address."""
        return (self.given,) if isinstance(self.given, str) else _file_name(self.given)


def read_image(given: Any) -> Image:
    """Return what a fake needs of an image, as `transformers.image_utils.load_image` reads it.

    Raises:
        TypeError: it is neither an image of Pillow nor text.
        ValueError: the text is neither an address, nor the path of a file, nor base64.
        PIL.UnidentifiedImageError: the file holds no image.
        ImportError: Pillow is not installed (`pip install pillow`), as for the real pipeline.
    """
    if isinstance(given, str):
        if given.startswith(("http://", "https://")):
            return Image(given, hashlib.blake2b(given.encode()).digest(), *_SIZE_OF_THE_UNSEEN)
        return _described(given, _opened(given))
    if not is_pillow_image(given):
        raise TypeError(
            f"an image must be a PIL image, a path, an address or base64 text, found {type(given).__name__}"
        )
    return _described(given, given)


def _described(given: Any, image: Any) -> Image:
    operations = importlib.import_module("PIL.ImageOps")
    image = operations.exif_transpose(image).convert("RGB")
    size = b"%dx%d" % image.size
    return Image(given, hashlib.blake2b(size + image.tobytes()).digest(), *image.size)


def _opened(text: str) -> Any:
    pillow = importlib.import_module("PIL.Image")
    if os.path.isfile(text):  # noqa: PTH113 (Path(text) refuses some base64 texts that are too long for a name)
        return pillow.open(text)
    content = text.split(",")[1] if text.startswith("data:image/") else text
    try:
        return pillow.open(BytesIO(base64.decodebytes(content.encode())))
    except Exception as error:
        raise ValueError(
            f"not an address, not the path of an existing file, and no image as base64: {text[:80]!r}"
        ) from error


def array_as_image(given: Any) -> Image:
    """Return what a fake needs of an array of pixels in three channels, first or last; of several, the first.

    Raises:
        ValueError: the array has not three or four dimensions, or not three channels.
    """
    shape = tuple(given.shape)
    if len(shape) not in (3, 4) or 3 not in (shape[-3], shape[-1]):
        raise ValueError(f"an array of pixels has three channels, first or last, found the shape {shape}")
    height, width = shape[-2:] if shape[-3] == 3 else shape[-3:-1]
    return Image(given, array_digest(given), width, height)


def array_digest(array: Any) -> bytes:
    """Return a hash of an array's type, shape and content."""
    values = array.detach().cpu().numpy() if is_instance(array, "torch", "Tensor") else array
    head = f"{values.dtype}{tuple(values.shape)}".encode()
    return hashlib.blake2b(head + values.tobytes()).digest()


def is_pillow_image(value: object) -> bool:
    """Say whether `value` is an image of Pillow; where Pillow is not imported, nothing is."""
    return is_instance(value, "PIL.Image", "Image")


def is_array(value: object) -> bool:
    """Say whether `value` is an array of numpy or a tensor of torch."""
    return is_instance(value, "numpy", "ndarray") or is_instance(value, "torch", "Tensor")


def is_instance(value: object, module: str, name: str) -> bool:
    """Say whether `value` is of a class of a heavy module, without importing it: not loaded means no."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _file_name(given: Any) -> tuple[str, ...]:
    name = getattr(given, "filename", "")
    return (name,) if isinstance(name, str) and name else ()


@dataclass(frozen=True)
class Seen:
    """One input in the view of a rule.

    Attributes:
        given: the input as it was passed.
        texts: what text patterns are searched in: paths, addresses, questions, prompts.
        digests: hashes of its images and sounds.
    """

    given: Any
    texts: tuple[str, ...] = ()
    digests: tuple[bytes, ...] = ()

    @classmethod
    def image(cls, image: Image, *texts: str) -> Seen:
        """Return the view of an input of one image, and texts that came with it."""
        return cls(image.given, (*image.names, *texts), (image.digest,))


@dataclass(frozen=True)
class _Rule:
    """What a rule matches; a class, since a function in a function could not be pickled with its fake."""

    pattern: Any = None
    digest: bytes | None = None

    def __call__(self, seen: Seen) -> bool:
        if self.digest is not None:
            return self.digest in seen.digests
        if isinstance(self.pattern, str):
            return any(self.pattern in text for text in seen.texts)
        if isinstance(self.pattern, re.Pattern):
            return any(self.pattern.search(text) for text in seen.texts)
        return bool(self.pattern(seen.given))


def as_predicate(pattern: Any) -> Any:
    """Return what a `When` takes for a rule on a `Seen`: a part of its texts, an expression, a function, an image.

    A text or an expression is searched in paths, addresses, questions and prompts; a function is asked with the
    input as it was passed; an image or an array matches one of the same content. Anything else is returned as it
    is, for `When` to refuse.
    """
    if is_pillow_image(pattern) or is_array(pattern):
        return _Rule(digest=read_image(pattern).digest if is_pillow_image(pattern) else array_digest(pattern))
    return _Rule(pattern) if isinstance(pattern, (str, re.Pattern)) or callable(pattern) else pattern
