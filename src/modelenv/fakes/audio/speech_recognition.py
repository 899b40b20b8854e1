"""The fake of `AutomaticSpeechRecognitionPipeline` (transformers 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.audio.sound import Sound, check_length, read_array, read_dict, read_file
from modelenv.fakes.audio.transcribing import Frames, character_chunks, segment_chunks, utterance, word_chunks
from modelenv.fakes.chunked import FakeChunkPipeline
from modelenv.fakes.media import as_predicate
from modelenv.fakes.scripting import When
from modelenv.fakes.text.generating import read_generation, split_generation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.fakes.model.facts import ModelFacts

_NOTHING = object()
_RATE = 16_000
_CTC_RATIO = 320  # samples per output, of wav2vec2 and the models derived from it
_OF_PIPELINE = frozenset(
    """
    chunk_length_s decoder decoder_kwargs generate_kwargs ignore_warning return_language return_timestamps
    stride_length_s
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
_OF_WHISPER = frozenset(  # the additional arguments of its `generate`
    """
    compression_ratio_threshold condition_on_prev_tokens force_unique_generate_call is_multilingual language
    logprob_threshold monitor_progress no_speech_threshold num_segment_frames prompt_condition_type prompt_ids
    return_segments return_token_timestamps task temperature time_precision time_precision_features
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
_TRANSDUCERS = ("parakeet_tdt", "parakeet_rnnt", "nemotron_asr_streaming", "nemotron3_5_asr")
_SEQUENCE_TO_SEQUENCE = (
    "ForConditionalGeneration",
    "ForSpeechToText",
    "SpeechEncoderDecoderModel",
)  # the endings of the classes in `MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES`


class WhenHeard(When):
    """A rule for speech recognition."""

    def returns(self, text: str, chunks: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Answer every matching sound with this text.

        Args:
            text: The recognised text.
            chunks: Dicts of `text` and `timestamp`, for a call with `return_timestamps`. By default, the words of
                the text are spread over the length of the sound.
        """
        self._add((text, None if chunks is None else [dict(chunk) for chunk in chunks]))


class FakeAutomaticSpeechRecognitionPipeline(FakeChunkPipeline):
    """Transcribes a sound to plain words, about two per second.

    As in the real pipeline, the kind of the model decides what a call can return. A CTC model (such as wav2vec2) has
    timestamps of words and characters. Whisper has timestamps of words and segments, and the language. Without a
    config, a model with "whisper" in its name is a Whisper model, and any other is a CTC model.

    As in the real pipeline, the keys that are used are removed from a dict of samples.
    """

    __slots__ = ("_generate_kwargs", "_kind")

    def __init__(self, task: str, facts: ModelFacts, pipeline_kwargs: Mapping[str, Any]) -> None:
        self._kind = _kind(facts)
        self._generate_kwargs, rest = split_generation(pipeline_kwargs)
        super().__init__(task, facts, rest)

    def when(self, pattern: Any) -> WhenHeard:
        """Start a rule: `fake.when("call.wav").returns("hello world")`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the input as it
                was passed, or an array with the same content. The later of two matching rules wins.
        """
        return WhenHeard(self._script, as_predicate(pattern))

    def _answer(self, inputs: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        if inputs is _NOTHING or args:
            raise TypeError("the call takes its inputs as the only positional argument")
        return self._run(inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = ("chunk_length_s", "stride_length_s", "return_timestamps", "return_language")
        parameters = {name: kwargs[name] for name in names if kwargs.get(name) is not None}
        own = self._facts.read_file("generation_config.json").get("return_timestamps")
        if own:
            parameters["return_timestamps"] = parameters.get("return_timestamps") or own
        generation = {name: value for name, value in kwargs.items() if name not in _OF_PIPELINE}
        if "generate_kwargs" in kwargs:
            generation |= dict(kwargs["generate_kwargs"])  # Python's own TypeError if it is not a mapping
        if generation:
            parameters["generation"] = generation
        if "return_language" in parameters and self._kind != "whisper":
            raise ValueError("only Whisper can return the language")
        if "return_timestamps" in parameters:
            _check_timestamps(self._kind, parameters["return_timestamps"])
        return parameters

    def _one(
        self,
        item: Any,
        /,
        *,
        chunk_length_s: Any = 0,
        stride_length_s: Any = None,
        return_timestamps: Any = None,
        return_language: Any = None,
        generation: Mapping[str, Any] | None = None,
    ) -> Any:
        if self._kind in ("whisper", "seq2seq"):
            given = {name: value for name, value in (generation or {}).items() if name not in _OF_WHISPER}
            read_generation(self._generate_kwargs, given, model=self._facts.read_file("generation_config.json"))
        rate = self._facts.sampling_rate(_RATE)
        sound = _read(item, rate)
        ratio = _ratio(self._facts.config, self._kind)
        if chunk_length_s:
            _check_chunks(chunk_length_s, stride_length_s, rate, ratio)
        else:
            check_length(sound.samples, self._facts.config)
        seconds = _seconds_of_whisper(self._facts) if self._kind == "whisper" else ratio / rate
        frames = Frames(count=int(_samples(sound) / rate / seconds + 1e-6), seconds=seconds)
        scripted = self._script.find((sound.seen(),))  # type: ignore[arg-type]
        text, chunks = self._heard(sound, frames) if scripted is None else scripted
        return self._formatted(text, chunks, frames, return_timestamps, return_language, sound.extra)

    def _heard(self, sound: Sound, frames: Frames) -> tuple[str, None]:
        text = utterance(self._facts.name, sound.digest, frames)
        if self._kind == "whisper":
            return (f" {text}" if text else ""), None
        return (text.upper() if self._kind == "ctc" else text), None

    def _formatted(
        self, text: str, chunks: Any, frames: Frames, timestamps: Any, language: Any, extra: Mapping[str, Any]
    ) -> dict[str, Any]:
        whisper = self._kind == "whisper"
        answer: dict[str, Any] = {"text": text}
        if timestamps or (whisper and language):
            if chunks is None:
                chunks = _chunks(text, frames, timestamps, whisper)
            name = {"language": "english"} if whisper and language else {}
            words = timestamps == "word"  # Whisper has the language after a word, but before a segment
            answer["chunks"] = [{**chunk, **name} if words else {**name, **chunk} for chunk in chunks]
        return {**answer, **{key: [value] for key, value in extra.items() if key != "is_last"}}


def _kind(facts: ModelFacts) -> str:
    model_type = facts.config.get("model_type")
    architectures = facts.config.get("architectures") or [""]
    if model_type == "whisper" or (not facts.config and "whisper" in facts.name.lower()):
        return "whisper"
    if architectures[0].endswith(_SEQUENCE_TO_SEQUENCE):
        return "seq2seq"
    return "transducer" if model_type in _TRANSDUCERS else "ctc"


def _check_timestamps(kind: str, value: Any) -> None:
    if kind == "seq2seq" and value:
        raise ValueError("this kind of model has no timestamps; use a CTC model or Whisper")
    if kind == "ctc" and value not in ["char", "word"]:
        raise ValueError(f"return_timestamps must be 'char' or 'word' for a CTC model, found {value!r}")
    if kind == "whisper" and value == "char":
        raise ValueError("Whisper has no timestamps of characters: use return_timestamps='word' or True")


def _read(item: Any, rate: int) -> Sound:
    if isinstance(item, (str, bytes)):
        return read_file(item, rate)
    if isinstance(item, dict):
        return read_dict(item, rate, channels=2)
    return read_array(item, item, channels=2)


def _ratio(config: Mapping[str, Any], kind: str) -> int:
    """Return the number of samples per output."""
    if kind != "ctc":
        return _CTC_RATIO
    product = 1
    for stride in config.get("conv_stride", ()):
        product *= stride
    return int(config.get("inputs_to_logits_ratio", product if product > 1 else _CTC_RATIO))


def _samples(sound: Sound) -> int:
    left, right = sound.stride or (0, 0)
    return max(0, sound.samples - left - right)


def _seconds_of_whisper(facts: ModelFacts) -> float:
    """Return the length in seconds of one position, into which the model divides a chunk of sound."""
    length = facts.processor("feature_extractor").get("chunk_length", 30)
    return float(length / facts.config.get("max_source_positions", 1500))


def _check_chunks(length: Any, stride: Any, rate: int, ratio: int) -> None:
    if stride is None:
        stride = length / 6
    if isinstance(stride, (int, float)):
        stride = [stride, stride]
    samples = int(round(length * rate / ratio) * ratio)
    left, right = (int(round(stride[side] * rate / ratio) * ratio) for side in (0, 1))
    if samples < left + right:
        raise ValueError("the chunk must be longer than its two strides together")
    if samples == left + right:
        raise ValueError("the chunk has no step left between its two strides")


def _chunks(text: str, frames: Frames, timestamps: Any, whisper: bool) -> list[dict[str, Any]]:
    if timestamps == "char":
        return character_chunks(text, frames)
    if timestamps == "word":
        return word_chunks(text, frames, whisper=whisper)
    return segment_chunks(text, frames, timed=bool(timestamps))
