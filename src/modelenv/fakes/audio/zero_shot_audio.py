"""The fake of `ZeroShotAudioClassificationPipeline` (`transformers/pipelines/zero_shot_audio_classification.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.audio.sound import is_tensor, read_array, read_file
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.labelling import WhenLabelled, check_labels, rank
from modelenv.fakes.media import as_predicate

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = object()


class FakeZeroShotAudioClassificationPipeline(FakePipeline):
    """Ranks the labels of the call for a sound. The scores sum to 1."""

    __slots__ = ()

    def when(self, pattern: Any) -> WhenLabelled:
        """Start a rule: `fake.when("dog.wav").returns("a dog", 0.9)`.

        Args:
            pattern: A part of the path or URL, a compiled regular expression, a function of the input as it
                was passed, or an array with the same content. The later of two matching rules wins.
        """
        return WhenLabelled(self._script, as_predicate(pattern), self._facts.name)

    def _answer(self, audios: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        if audios is _NOTHING or args:
            raise TypeError("the call takes the sound as the only positional argument")
        return self._run(audios, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: kwargs[name] for name in ("candidate_labels", "hypothesis_template") if name in kwargs}

    def _one(
        self, item: Any, /, *, candidate_labels: Any = None, hypothesis_template: str = "This is a sound of {}."
    ) -> Any:
        if isinstance(item, (str, bytes)):
            sound = read_file(item, self._facts.sampling_rate(48_000))
        elif is_tensor(item):
            raise TypeError("a sound must be a numpy array, a path, a URL or bytes, found a tensor")
        else:
            sound = read_array(item, item)
        if not sound.samples:
            raise ZeroDivisionError("the sound is empty")
        ranked = rank(self._facts.name, self._script, sound.seen(), candidate_labels, hypothesis_template, False)
        check_labels(self._facts, self._tokenizer_of_model(), ranked, hypothesis_template)
        return ranked
