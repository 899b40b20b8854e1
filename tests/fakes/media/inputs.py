"""Images and sounds for the contracts of this package, and the forms in which they are passed."""

from __future__ import annotations

import atexit
import base64
import functools
import shutil
import tempfile
import wave
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from ..cases.inputs import dataset, iterable_dataset

LOADER_CALLS: list[dict[str, Any]] = [
    {"batch_size": 1},
    {"batch_size": 2},
    {"batch_size": 0},
    {"batch_size": "x"},
    {"num_workers": 0},
    {"num_workers": -1},
]


@functools.cache
def folder() -> Path:
    """Return a folder for files, which is deleted when the process ends."""
    kept = Path(tempfile.mkdtemp(prefix="modelenv-media-"))
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    return kept


def picture(width: int = 70, height: int = 50, seed: int = 0, mode: str = "RGB") -> Any:
    """Return an image of noise."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png() -> bytes:
    buffer = BytesIO()
    picture().save(buffer, "png")
    return buffer.getvalue()


def picture_file() -> str:
    path = folder() / "picture.png"
    path.write_bytes(png())
    return str(path)


def text_file() -> str:
    path = folder() / "notes.txt"
    path.write_text("no image and no sound")
    return str(path)


def rotated_file() -> str:
    """Return a file with a rotation in its EXIF data."""
    image = picture()
    exif = image.getexif()
    exif[0x0112] = 6
    path = folder() / "rotated.jpg"
    image.save(path, exif=exif)
    return str(path)


def noise(samples: int = 16_000, seed: int = 0, kind: str = "float32") -> Any:
    """Return a sound of noise at 16 kHz."""
    import numpy as np

    return np.random.default_rng(seed).standard_normal(samples).astype(kind)


def wav() -> bytes:
    """Return the content of a WAV file of one second."""
    buffer = BytesIO()
    with wave.open(buffer, "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(16_000)
        opened.writeframes((noise() * 1000).astype("int16").tobytes())
    return buffer.getvalue()


def wav_file() -> str:
    path = folder() / "sound.wav"
    path.write_bytes(wav())
    return str(path)


IMAGES: dict[str, Callable[[], Any]] = {
    "image": picture,
    "grey image": lambda: picture(mode="L"),
    "image with transparency": lambda: picture(mode="RGBA"),
    "image of a palette": lambda: picture(mode="P"),
    "image of one bit": lambda: picture(mode="1"),
    "small image": lambda: picture(9, 7),
    "file": picture_file,
    "rotated file": rotated_file,
    "base64": lambda: base64.b64encode(png()).decode(),
    "data address": lambda: "data:image/png;base64," + base64.b64encode(png()).decode(),
    "list of one": lambda: [picture()],
    "list": lambda: [picture(), picture(30, 90, 1), picture(64, 64, 2)],
    "list of files": lambda: [picture_file(), picture_file()],
    "list of image and file": lambda: [picture(), picture_file()],
    "generator": lambda: (picture(seed=seed) for seed in range(2)),
    "empty generator": lambda: (image for image in ()),
    "dataset": lambda: dataset([picture(), picture(seed=1)]),
    "iterable dataset": lambda: iterable_dataset([picture(), picture(seed=1)]),
    "empty list": list,
    "tuple": lambda: (picture(),),
    "empty tuple": tuple,
    "list of lists": lambda: [[picture()]],
    "list with None": lambda: [picture(), None],
    "list with a missing file": lambda: [picture(), "missing.png"],
    "generator with None": lambda: (image for image in (picture(), None)),
    "missing file": lambda: "missing.png",
    "file of text": text_file,
    "base64 of text": lambda: base64.b64encode(b"hello").decode(),
    "empty text": lambda: "",
    "folder": lambda: str(folder()),
    "path": lambda: Path(picture_file()),
    "None": lambda: None,
    "number": lambda: 1,
    "bytes": png,
    "dict": lambda: {"image": picture()},
    "message": lambda: [{"role": "user", "content": "hello"}],
    "array": lambda: _array(7, 9, 3),
    "array with channels first": lambda: _array(3, 7, 9),
    "array of four channels": lambda: _array(7, 9, 4),
    "array of two dimensions": lambda: _array(7, 9),
    "array of a batch": lambda: _array(2, 7, 9, 3),
    "list of arrays": lambda: [_array(7, 9, 3)],
    "tensor": lambda: _tensor(3, 7, 9),
}
SOUNDS: dict[str, Callable[[], Any]] = {
    "array": noise,
    "array of doubles": lambda: noise(kind="float64"),
    "array of whole numbers": lambda: noise(kind="int16"),
    "long array": lambda: noise(48_000),
    "silence": lambda: noise() * 0,
    "list of one": lambda: [noise()],
    "list": lambda: [noise(), noise(9_000), noise(12_000, 1)],
    "generator": lambda: (noise(seed=seed) for seed in range(2)),
    "dataset": lambda: dataset([noise(), noise(9_000)]),
    "empty list": list,
    "empty tuple": tuple,
    "tuple": lambda: (noise(),),
    "two channels": lambda: noise().reshape(2, -1),
    "channels last": lambda: noise().reshape(-1, 2),
    "three dimensions": lambda: noise().reshape(2, 2, -1),
    "missing file": lambda: "missing.wav",
    "folder": lambda: str(folder()),
    "bytes of text": lambda: b"no sound",
    "no bytes": lambda: b"",
    "None": lambda: None,
    "number": lambda: 1,
    "list of numbers": lambda: [0.0, 0.1],
    "list with None": lambda: [noise(), None],
    "dict": lambda: {"raw": noise(), "sampling_rate": 16_000},
    "dict of a data set": lambda: {"array": noise(), "sampling_rate": 16_000, "path": "a.wav"},
    "dict without a rate": lambda: {"raw": noise()},
    "dict without samples": lambda: {"raw": None, "sampling_rate": 16_000},
    "dict of numbers": lambda: {"raw": [0.0], "sampling_rate": 16_000},
    "dict of a tensor": lambda: {"raw": _tensor(16_000), "sampling_rate": 16_000},
    "empty dict": dict,
    "list of dicts": lambda: [{"raw": noise(), "sampling_rate": 16_000}],
    "tensor": lambda: _tensor(16_000),
    "message": lambda: [{"role": "user", "content": "hello"}],
}


def _array(*shape: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def _tensor(*shape: int) -> Any:
    import torch

    return torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape)
