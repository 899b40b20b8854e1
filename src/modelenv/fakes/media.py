"""Reads what the fakes need of an image: its size, and a hash of its content. Matches images and sounds with rules.

Nothing is downloaded: for a URL, the URL is hashed instead of the content, and the size is a typical one.
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

_SIZE_OF_A_URL = (640, 480)


@dataclass(frozen=True)
class Image:
    """An image as a fake sees it.

    Attributes:
        given: The image as it was passed: a `PIL.Image`, an array, a path, a URL or base64 text.
        digest: A hash of its pixels, or of its URL.
        width: The width in pixels, after the rotation in its EXIF data.
        height: The height in pixels.
    """

    given: Any
    digest: bytes
    width: int
    height: int

    @property
    def names(self) -> tuple[str, ...]:
        """The texts that a rule can match: the path or URL."""
        return (self.given,) if isinstance(self.given, str) else _file_name(self.given)


def read_image(given: Any) -> Image:
    """Read an image in the forms that `transformers.image_utils.load_image` accepts.

    Raises:
        TypeError: It is neither a Pillow image nor text.
        ValueError: The text is neither a URL, nor the path of a file, nor base64.
        PIL.UnidentifiedImageError: The file is not an image.
        ImportError: Pillow is not installed (`pip install pillow`), as for the real pipeline.
    """
    if isinstance(given, str):
        if given.startswith(("http://", "https://")):
            return Image(given, hashlib.blake2b(given.encode()).digest(), *_SIZE_OF_A_URL)
        return _described(given, _opened(given))
    if not is_pillow_image(given):
        raise TypeError(f"an image must be a PIL image, a path, a URL or base64 text, found {type(given).__name__}")
    return _described(given, given)


def _described(given: Any, image: Any) -> Image:
    operations = importlib.import_module("PIL.ImageOps")
    image = operations.exif_transpose(image).convert("RGB")
    size = b"%dx%d" % image.size
    return Image(given, hashlib.blake2b(size + image.tobytes()).digest(), *image.size)


def _opened(text: str) -> Any:
    pillow = importlib.import_module("PIL.Image")
    if os.path.isfile(text):  # noqa: PTH113 - Path raises for base64 texts that are too long for a file name
        return pillow.open(text)
    content = text.split(",")[1] if text.startswith("data:image/") else text
    try:
        return pillow.open(BytesIO(base64.decodebytes(content.encode())))
    except Exception as error:
        raise ValueError(
            f"not a URL, not the path of an existing file, and not an image as base64: {text[:80]!r}"
        ) from error


def array_as_image(given: Any) -> Image:
    """Read an array of pixels with three channels, in the first or last dimension. Of several images, read the first.

    Raises:
        ValueError: The array does not have three or four dimensions, or not three channels.
    """
    shape = tuple(given.shape)
    if len(shape) not in (3, 4) or 3 not in (shape[-3], shape[-1]):
        raise ValueError(f"an array of pixels must have three channels, first or last, found the shape {shape}")
    height, width = shape[-2:] if shape[-3] == 3 else shape[-3:-1]
    return Image(given, array_digest(given), width, height)


def array_digest(array: Any) -> bytes:
    """Return a hash of an array's type, shape and content."""
    values = array.detach().cpu().numpy() if is_instance(array, "torch", "Tensor") else array
    head = f"{values.dtype}{tuple(values.shape)}".encode()
    return hashlib.blake2b(head + values.tobytes()).digest()


def is_pillow_image(value: object) -> bool:
    """Whether `value` is a Pillow image. It never is if Pillow is not imported."""
    return is_instance(value, "PIL.Image", "Image")


def is_array(value: object) -> bool:
    """Whether `value` is a numpy array or a torch tensor."""
    return is_instance(value, "numpy", "ndarray") or is_instance(value, "torch", "Tensor")


def is_instance(value: object, module: str, name: str) -> bool:
    """Whether `value` is an instance of a heavy module's class. The module is not imported for this."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _file_name(given: Any) -> tuple[str, ...]:
    name = getattr(given, "filename", "")
    return (name,) if isinstance(name, str) and name else ()


@dataclass(frozen=True)
class Seen:
    """One input as rules see it.

    Attributes:
        given: The input as it was passed.
        texts: The texts that patterns are searched in: paths, URLs, questions, prompts.
        digests: The hashes of its images and sounds.
    """

    given: Any
    texts: tuple[str, ...] = ()
    digests: tuple[bytes, ...] = ()

    @classmethod
    def image(cls, image: Image, *texts: str) -> Seen:
        """Return the input of one image and its texts, as rules see it."""
        return cls(image.given, (*image.names, *texts), (image.digest,))


@dataclass(frozen=True)
class _Rule:
    """What a rule matches. It is a class, because a nested function could not be pickled with its fake."""

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
    """Return the pattern of a rule as a function of a `Seen`, for a `When`.

    A text or a regular expression is searched for in paths, URLs, questions and prompts. A function is called with
    the input as it was passed. An image or an array matches one with the same content. Anything else is returned
    unchanged, so that `When` raises an error for it.
    """
    if is_pillow_image(pattern) or is_array(pattern):
        return _Rule(digest=read_image(pattern).digest if is_pillow_image(pattern) else array_digest(pattern))
    return _Rule(pattern) if isinstance(pattern, (str, re.Pattern)) or callable(pattern) else pattern
