"""The fake of `AudioClassificationPipeline` (`transformers/pipelines/audio_classification.py`, 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.audio.sound import Sound, check_length, read_array, read_dict, read_file
from modelenv.fakes.classifying import FUNCTIONS, FakeLabelRanking, check_function, cut

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = object()


class FakeAudioClassificationPipeline(FakeLabelRanking):
    """Ranks the model's labels for a sound.

    As in the real pipeline, a call without `top_k` returns all labels, even if the pipeline was built with `top_k`.
    """

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the labels of superb/wav2vec2-base-superb-ks, transformers' default model for the task."""
        labels = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_silence_", "_unknown_")
        return {"id2label": dict(enumerate(labels))}

    def _answer(self, inputs: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        if inputs is _NOTHING or args:
            raise TypeError("the call takes its inputs as the only positional argument")
        return self._run(inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._parameters_of(**kwargs)

    def _parameters_of(self, top_k: Any = None, function_to_apply: Any = None, **_: Any) -> dict[str, Any]:
        number = len(self._facts.labels)
        parameters = {"top_k": number if top_k is None or top_k > number else top_k}
        if function_to_apply is not None:
            check_function(function_to_apply)
            parameters["function"] = function_to_apply
        return parameters

    def _one(self, item: Any, /, *, top_k: Any, function: Any = None) -> Any:
        sound = _read(item, self._facts.sampling_rate(16_000))
        check_length(sound.samples, self._facts.config)
        ranked = self._ranked(sound.seen(), FUNCTIONS[self._default_function() if function is None else function])
        return cut(ranked, top_k)


def _read(item: Any, rate: int) -> Sound:
    if isinstance(item, (str, bytes)):
        return read_file(item, rate)
    if isinstance(item, dict):
        return read_dict(dict(item), rate)  # a copy, because the real pipeline does not change the caller's dict
    return read_array(item, item)
