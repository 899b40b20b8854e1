"""The fake of `TextToAudioPipeline` (`transformers/pipelines/text_to_audio.py`, 5.24)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import Chat, FakePipeline
from modelenv.fakes.media import Seen, as_predicate
from modelenv.fakes.scripting import When

_NOTHING = object()
_SECONDS_PER_CHARACTER = 0.06
# These models compute a sound in one pass, so they accept no arguments for generation.
_ONE_PASS = ("fastspeech2_conformer", "fastspeech2_conformer_with_hifigan", "univnet", "vits")
# The sampling rates of typical models of a kind, if the config names none.
_RATES = {
    "bark": 24_000, "csm": 24_000, "dia": 44_100, "higgs_audio_v2": 24_000, "musicgen": 32_000,
    "musicgen_melody": 32_000, "pocket_tts": 24_000, "vibevoice": 24_000,
}  # fmt: skip
# The parts of a config that can name the rate if the config itself does not.
_CODECS = ("codec_config", "audio_encoder")
_SPECTROGRAMS = ("fastspeech2_conformer", "speecht5")  # a vocoder converts their output to sound
_RATE = 16_000  # of the real pipeline's vocoder, and of many others


class WhenSpoken(When):
    """A rule for speech synthesis."""

    def returns(self, audio: Any, sampling_rate: int | None = None) -> None:
        """Answer every matching text with these samples.

        Args:
            audio: The samples, as a list of numbers or an array.
            sampling_rate: The number of samples per second. By default, that of the model.

        Raises:
            ConfigurationError: There are no samples.
        """
        array = importlib.import_module("numpy").asarray(audio, dtype="float32")
        if not array.size:
            raise ConfigurationError(
                "a sound must have samples",
                expected="a list of numbers, or an array",
                found=f"an array of the shape {array.shape}",
                hint="write fake.when(…).returns([0.0, 0.1, 0.2])",
            )
        self._add((array, sampling_rate))


class FakeTextToAudioPipeline(FakePipeline):
    """Returns a tone for a text: `audio`, a numpy array, and `sampling_rate`. A longer text has a longer tone."""

    __slots__ = ("_own_rate", "_vocoder")

    def __init__(self, task: str, facts: Any, pipeline_kwargs: Mapping[str, Any]) -> None:
        kwargs = dict(pipeline_kwargs)
        self._own_rate = kwargs.pop("sampling_rate", None)
        self._vocoder = kwargs.pop("vocoder", None)
        super().__init__(task, facts, {k: v for k, v in kwargs.items() if k != "noise_scheduler"})

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the model type of suno/bark-small, transformers' default model for the task."""
        return {"model_type": "bark"}

    def when(self, pattern: Any) -> WhenSpoken:
        """Start a rule: `fake.when("hello").returns([0.0, 0.1, 0.2])`.

        Args:
            pattern: A part of the text, a compiled regular expression, or a function of the input as it was
                passed. The later of two matching rules wins.
        """
        return WhenSpoken(self._script, as_predicate(pattern))

    def _answer(self, text_inputs: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        if text_inputs is _NOTHING or args:
            raise TypeError("the call takes its text as the only positional argument")
        return self._run(text_inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return _parameters(**kwargs)

    def _one(
        self, item: Any, /, *, preprocess_params: Any, forward_params: Any = None, generate_kwargs: Any = None
    ) -> Any:
        texts = self._texts(item, preprocess_params)
        {**(forward_params or {}), **(generate_kwargs or {})}  # noqa: B018 - Python's own TypeError if not a mapping
        if generate_kwargs and self._facts.config.get("model_type") in _ONE_PASS:
            raise ValueError("this model does not generate tokens: use forward_params instead of generate_kwargs")
        rate = self.sampling_rate
        seen = Seen(item, tuple(text for text in texts))
        scripted = self._script.find((seen,))  # type: ignore[arg-type]
        if scripted is not None:
            audio, own = scripted
            return {"audio": audio.copy(), "sampling_rate": rate if own is None else own}
        return {"audio": _tone(self._facts.name, texts, rate, self._channels), "sampling_rate": rate}

    def _texts(self, item: Any, tokenizer_kwargs: dict[str, Any]) -> tuple[str, ...]:
        """Return the texts of one input, after the checks of the tokenizer."""
        if isinstance(item, Chat):
            raise ValueError("the model's tokenizer has no chat template")  # noqa: TRY004 - as the real one
        if isinstance(item, str):
            item = [item]
        if not isinstance(item, (list, tuple)) or not all(isinstance(text, str) for text in item):
            raise ValueError(f"a text must be a string, found {type(item).__name__}: {item!r}")
        texts = tuple(item)
        if len({len(text) for text in texts}) > 1 and not tokenizer_kwargs.get("padding"):
            raise ValueError("texts of different lengths in a tuple cannot become a tensor: pass a list instead")
        if self._facts.config.get("model_type") == "vits" and not all(_is_speakable(text) for text in texts):
            raise RuntimeError("the text has no letter or digit that this model can pronounce")
        return texts

    @property
    def _channels(self) -> int:
        decoder = self._facts.config.get("decoder")
        channels = decoder.get("audio_channels", 1) if isinstance(decoder, Mapping) else 1
        return channels if type(channels) is int and channels > 0 else 1

    @property
    def sampling_rate(self) -> int:
        """The number of samples per second."""
        kind = str(self._facts.config.get("model_type"))
        if kind in _SPECTROGRAMS:
            return int(getattr(getattr(self._vocoder, "config", None), "sampling_rate", _RATE))
        if self._own_rate is not None:
            return int(self._own_rate)
        config = self._facts.config
        parts = [config.get(name) for name in _CODECS]
        for content in (self._facts.read_file("generation_config.json"), config, *parts):
            for name in ("sampling_rate", "sample_rate"):
                if isinstance(content, Mapping) and content.get(name) is not None:
                    return int(content[name])
        return self._facts.sampling_rate(_RATES.get(kind, _RATE))


def _is_speakable(text: str) -> bool:
    return any(character.isalnum() and character.isascii() for character in text)


def _tone(model: str, texts: tuple[str, ...], rate: int, channels: int) -> Any:
    numpy = importlib.import_module("numpy")
    rows = []
    longest = max(1, int(max(map(len, texts)) * _SECONDS_PER_CHARACTER * rate))
    for text in texts:
        pitch, phase = seeded.units(2, model, text)
        times = numpy.arange(longest, dtype="float32") / rate
        rows.append(0.5 * numpy.sin(2 * math.pi * ((110 + 330 * pitch) * times + phase)))
    sound = numpy.array(rows, dtype="float32")[:, None, :]
    return numpy.repeat(sound, channels, axis=1).squeeze()


def _parameters(
    preprocess_params: Any = None,
    forward_params: Any = None,
    generate_kwargs: Any = None,
    processor_kwargs: Any = None,
) -> dict[str, Any]:
    return {
        "preprocess_params": {} if preprocess_params is None else {**preprocess_params},
        "forward_params": forward_params,
        "generate_kwargs": generate_kwargs,
    }
