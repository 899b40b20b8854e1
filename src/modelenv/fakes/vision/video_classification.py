"""The fake of `VideoClassificationPipeline` (`transformers/pipelines/video_classification.py`, 5.24)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelenv.fakes.classifying import FUNCTIONS, FakeLabelRanking, check_function, cut
from modelenv.fakes.media import Seen
from modelenv.fakes.vision.detecting import check_number

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = object()


class FakeVideoClassificationPipeline(FakeLabelRanking):
    """Returns the best five labels for a video, or `top_k` labels. The file is hashed, but never decoded."""

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return typical labels of video classifiers."""
        labels = ("dancing", "running", "swimming", "cooking", "reading", "singing", "driving", "climbing")
        return {"id2label": dict(enumerate(labels)), "num_frames": 16}

    def _answer(self, inputs: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        if inputs is _NOTHING or args:
            raise TypeError("the call takes its inputs as the only positional argument")
        if inputs is None:
            raise ValueError("the inputs are None: pass the path or URL of a video, or a list of these")
        return self._run(inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return _parameters(**kwargs)

    def _one(self, item: Any, /, *, top_k: Any = 5, function: Any = None, rate: Any = 1) -> Any:
        if not hasattr(item, "startswith"):
            raise AttributeError(f"a video must be a path or a URL, found {type(item).__name__}")
        content = item.encode() if item.startswith(("http://", "https://")) else _read(item)
        check_number("frame_sampling_rate", rate)
        number = len(self._facts.labels)
        if top_k > number:
            top_k = number
        seen = Seen(item, (item,), (hashlib.blake2b(content).digest(),))
        ranked = self._ranked(seen, FUNCTIONS[self._default_function() if function is None else function])
        return cut(ranked, top_k)


def _read(path: str) -> bytes:
    content = Path(path).read_bytes()
    if not content:
        raise ValueError(f"{path} is empty, so it is not a video")
    return content


def _parameters(
    top_k: Any = None, num_frames: Any = None, frame_sampling_rate: Any = None, function_to_apply: Any = None
) -> dict[str, Any]:
    parameters = {} if top_k is None else {"top_k": top_k}
    if frame_sampling_rate is not None:
        parameters["rate"] = frame_sampling_rate
    if function_to_apply is not None:
        check_function(function_to_apply)
        parameters["function"] = function_to_apply
    return parameters
