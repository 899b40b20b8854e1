"""Reads what the fakes need of a sound: its length, and a hash of its content.

Files are not decoded, so neither ffmpeg nor torchaudio is needed. The header of a WAV file contains its length; for
other formats it is estimated from the size. Nothing is downloaded: for a URL, the URL is hashed instead of the
content, and the length is five seconds.
"""

from __future__ import annotations

import hashlib
import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelenv.fakes.media import Seen, array_digest, is_array, is_instance

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS_OF_A_URL = 5
_BYTES_PER_SECOND = 8_000  # 64 kbit/s, usual for compressed speech
_FORMATS = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\x1aE\xdf\xa3", b"FORM")


@dataclass(frozen=True)
class Sound:
    """A sound as a fake sees it.

    Attributes:
        given: The input as it was passed: an array, a dict with one, a path, a URL or the content of a file.
        digest: A hash of its content, or of its URL.
        samples: Its length in samples, at the model's sampling rate.
        extra: The keys of a dict that the pipeline does not know.
        stride: The numbers of samples to leave out at its ends, from a dict.
    """

    given: Any
    digest: bytes
    samples: int
    extra: dict[str, Any]
    stride: tuple[int, int] | None = None

    def seen(self, *texts: str) -> Seen:
        """Return this sound as rules see it, with the texts that came with it."""
        path = (self.given,) if isinstance(self.given, str) else ()
        return Seen(self.given, (*path, *texts), (self.digest,))


def read_file(given: str | bytes, rate: int) -> Sound:
    """Return the sound of a path, a URL, or the content of a file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The content is not a sound.
    """
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return Sound(given, hashlib.blake2b(given.encode()).digest(), _SECONDS_OF_A_URL * rate, {})
    content = Path(given).read_bytes() if isinstance(given, str) else given
    return Sound(given, hashlib.blake2b(content).digest(), int(_seconds(content) * rate), {})


def _seconds(content: bytes) -> float:
    if content.startswith(b"RIFF"):
        try:
            with wave.open(BytesIO(content)) as opened:
                return float(opened.getnframes() / opened.getframerate())
        except (wave.Error, EOFError):  # a WAV file with floats, or another kind of RIFF file
            return len(content) / _BYTES_PER_SECOND
    if content.startswith(_FORMATS) or content[4:8] == b"ftyp":
        return len(content) / _BYTES_PER_SECOND
    raise ValueError("the content is not a sound in a known format of ffmpeg: WAV, FLAC, MP3, Ogg, MP4")


def read_array(given: Any, array: Any, *, channels: int = 1) -> Sound:
    """Return the sound of an array of samples.

    Args:
        given: The input as it was passed.
        array: The samples.
        channels: The maximum number of channels, in the first dimension.

    Raises:
        TypeError: `array` is not a numpy array.
        ValueError: It has more dimensions or channels.
    """
    if not is_array(array):
        raise TypeError(f"a sound must be a numpy array, a path, or bytes, found {type(array).__name__}")
    shape = tuple(array.shape)
    if not (len(shape) == 1 or (channels > 1 and len(shape) == 2 and shape[0] <= channels)):
        raise ValueError(f"expected samples in one dimension, found the shape {shape}")
    return Sound(given, array_digest(array), shape[-1], {})


def read_dict(given: dict[str, Any], rate: int, *, channels: int = 1) -> Sound:
    """Return the sound of a dict of samples. The keys that are used are removed from the dict.

    Raises:
        ValueError: The samples or their rate are missing, or the stride is longer than the sound.
        TypeError: The samples are not an array.
    """
    stride = given.pop("stride", None)
    if not ("sampling_rate" in given and ("raw" in given or "array" in given)):
        raise ValueError('a sound as a dict needs the keys "raw" (or "array") and "sampling_rate"')
    array = given.pop("raw", None)
    if array is None:
        given.pop("path", None)
        array = given.pop("array", None)
    source_rate = given.pop("sampling_rate")
    if is_tensor(array) and source_rate == rate and channels == 1:
        raise TypeError("samples in a dict must be a numpy array, found a tensor")
    sound = read_array(given, array, channels=channels)
    samples = sound.samples if source_rate == rate else round(sound.samples * rate / source_rate)
    if stride is not None:
        if stride[0] + stride[1] > samples:
            raise ValueError("the stride is longer than the sound")
        stride = (round(stride[0] * rate / source_rate), round(stride[1] * rate / source_rate))
    return Sound(given, sound.digest, samples, given, stride)


def is_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor."""
    return is_instance(value, "torch", "Tensor")


def check_length(samples: int, config: Mapping[str, Any]) -> None:
    """Check that a sound is not shorter than the convolutions of a model such as wav2vec2.

    Args:
        samples: The length of the sound.
        config: The model's config. Without `conv_kernel` there is no such limit.

    Raises:
        RuntimeError: The sound is shorter than a kernel, as in the real model.
        ValueError: One value is left to normalise, as in the real model.
    """
    layers = zip(config.get("conv_kernel", ()), config.get("conv_stride", ()), strict=False)
    for index, (kernel, stride) in enumerate(layers):
        if samples < kernel:
            raise RuntimeError(f"the sound is too short for this model: {samples} values before a kernel of {kernel}")
        samples = (samples - kernel) // stride + 1
        if index == 0 and samples == 1 and config.get("feat_extract_norm", "group") == "group":
            raise ValueError("the sound is too short for this model: one value cannot be normalised")
