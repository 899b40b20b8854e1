"""What the fakes read of a sound: how long it is, and a hash of its content.

Files are not decoded, so neither ffmpeg nor torchaudio is needed: a WAV file says its length, of the other formats
it is estimated from the size. Nothing is fetched: an address stands for its content, and for five seconds.
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

_SECONDS_OF_THE_UNSEEN = 5
_BYTES_PER_SECOND = 8_000  # 64 kbit/s, usual for compressed speech
_FORMATS = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\x1aE\xdf\xa3", b"FORM")


@dataclass(frozen=True)
class Sound:
    """A sound as a fake sees it.

    Attributes:
        given: as it was passed: an array, a dict of one, a path, an address or the content of a file.
        digest: a hash of its content, or of its address.
        samples: its length at the model's sampling rate.
        extra: the keys of a dict that the pipeline does not know.
        stride: what a dict says of samples to be left out at its ends.
    """

    given: Any
    digest: bytes
    samples: int
    extra: dict[str, Any]
    stride: tuple[int, int] | None = None

    def seen(self, *texts: str) -> Seen:
        """Return the view of this sound for rules, with texts that came with it."""
        path = (self.given,) if isinstance(self.given, str) else ()
        return Seen(self.given, (*path, *texts), (self.digest,))


def read_file(given: str | bytes, rate: int) -> Sound:
    """Return what a fake needs of a path, an address, or the content of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the content is no sound.
    """
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return Sound(given, hashlib.blake2b(given.encode()).digest(), _SECONDS_OF_THE_UNSEEN * rate, {})
    content = Path(given).read_bytes() if isinstance(given, str) else given
    return Sound(given, hashlib.blake2b(content).digest(), int(_seconds(content) * rate), {})


def _seconds(content: bytes) -> float:
    if content.startswith(b"RIFF"):
        try:
            with wave.open(BytesIO(content)) as opened:
                return float(opened.getnframes() / opened.getframerate())
        except (wave.Error, EOFError):  # a WAV of floats, or another kind of RIFF
            return len(content) / _BYTES_PER_SECOND
    if content.startswith(_FORMATS) or content[4:8] == b"ftyp":
        return len(content) / _BYTES_PER_SECOND
    raise ValueError("the content is not a sound in a format that ffmpeg is known to read: WAV, FLAC, MP3, Ogg, MP4")


def read_array(given: Any, array: Any, *, channels: int = 1) -> Sound:
    """Return what a fake needs of samples.

    Args:
        given: the input as it was passed.
        array: its samples.
        channels: how many there may be, in the first dimension.

    Raises:
        TypeError: it is no array of numpy.
        ValueError: it has more dimensions or channels.
    """
    if not is_array(array):
        raise TypeError(f"a sound must be an array of numpy, a path, or bytes, found {type(array).__name__}")
    shape = tuple(array.shape)
    if not (len(shape) == 1 or (channels > 1 and len(shape) == 2 and shape[0] <= channels)):
        raise ValueError(f"expected samples in one dimension, found the shape {shape}")
    return Sound(given, array_digest(array), shape[-1], {})


def read_dict(given: dict[str, Any], rate: int, *, channels: int = 1) -> Sound:
    """Return what a fake needs of a dict of samples; the keys that are used are taken out of it.

    Raises:
        ValueError: it lacks the samples or their rate, or the stride is longer than the sound.
        TypeError: the samples are no array.
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
        raise TypeError("samples in a dict must be an array of numpy, found a tensor")
    sound = read_array(given, array, channels=channels)
    samples = sound.samples if source_rate == rate else round(sound.samples * rate / source_rate)
    if stride is not None:
        if stride[0] + stride[1] > samples:
            raise ValueError("the stride is longer than the sound")
        stride = (round(stride[0] * rate / source_rate), round(stride[1] * rate / source_rate))
    return Sound(given, sound.digest, samples, given, stride)


def is_tensor(value: object) -> bool:
    """Say whether `value` is a tensor of torch."""
    return is_instance(value, "torch", "Tensor")


def check_length(samples: int, config: Mapping[str, Any]) -> None:
    """Raise what a model of the wav2vec2 kind raises for a sound that is shorter than its convolutions.

    Args:
        samples: the length of the sound.
        config: the model's config; one without `conv_kernel` has no such limit.
    """
    layers = zip(config.get("conv_kernel", ()), config.get("conv_stride", ()), strict=False)
    for index, (kernel, stride) in enumerate(layers):
        if samples < kernel:
            raise RuntimeError(f"the sound is too short for this model: {samples} values before a kernel of {kernel}")
        samples = (samples - kernel) // stride + 1
        if index == 0 and samples == 1 and config.get("feat_extract_norm", "group") == "group":
            raise ValueError("the sound is too short for this model: one value cannot be normalised")
