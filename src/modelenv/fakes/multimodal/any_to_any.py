"""The fake of `AnyToAnyPipeline` (`transformers/pipelines/any_to_any.py`, 5.24)."""

from __future__ import annotations

import hashlib
import importlib
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.fakes import seeded
from modelenv.fakes.base import Chat
from modelenv.fakes.media import Seen, array_digest, is_array, is_instance, is_pillow_image, read_image
from modelenv.fakes.multimodal.continuing import FakeContinuation, Prompt, check_placeholders, read_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODES = ("text", "image", "audio")
# The outputs of the models that can return more than text (`output_modalities` of their classes).
_OUTPUTS = MappingProxyType(
    {
        "emu3": ("image", "text"),
        "janus": ("image", "text"),
        "kyutai_speech_to_text": ("audio", "text"),
        "qwen2_5_omni": ("audio", "text"),
        "qwen3_omni_moe": ("audio", "text"),
    }
)
_IMAGE_SIDE, _AUDIO_SAMPLES = 384, 24_000


class FakeAnyToAnyPipeline(FakeContinuation):
    """Continues a prompt or a chat with some plain words. With `generation_mode`, returns a tone or a grey image.

    The supported modes depend on the model's config. Without a config, the model only returns text.
    """

    __slots__ = ()

    def _answer(
        self, text: Any = None, images: Any = None, videos: Any = None, audio: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if args:
            raise TypeError("the call takes text, images, videos and audio")
        if all(given is None for given in (text, images, videos, audio)):
            raise ValueError("pass text, images, videos or audio")
        dataset = is_instance(text, "transformers.pipelines.pt_utils", "KeyDataset")
        if (isinstance(text, (list, tuple)) or dataset) and isinstance(text[0], (list, tuple, dict)):
            if isinstance(text[0], dict) and "role" in text[0]:
                return self._run(Chat.of(text), **kwargs)
            if not isinstance(text[0], dict) and isinstance(text[0][0], dict) and "role" in text[0][0]:
                return self._run([Chat.of(chat) for chat in text], **kwargs)
        plain = isinstance(text, str) or (isinstance(text, list) and isinstance(text[0], str))
        if text is not None and not plain:
            return self._run(text, **kwargs)
        return self._run({"text": text, "images": images, "videos": videos, "audio": audio}, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        mode = kwargs.get("generation_mode")
        given = {**kwargs, "generate_kwargs": dict(kwargs.get("generate_kwargs") or {})}
        parameters = read_parameters(**given)
        if mode not in (None, "text") and "return_type" in parameters:
            raise ValueError("return_full_text, return_tensors and return_type need generation_mode='text'")
        if mode not in (None, *_MODES):
            raise ValueError(f"generation_mode must be one of {', '.join(_MODES)}, found {mode!r}")
        if mode is not None and mode not in self._modes():
            raise ValueError(f"generation_mode={mode!r} is not supported by this model; it supports {self._modes()}")
        # As in the real pipeline, every call sets both, so the arguments that the pipeline was built with are lost.
        return {"return_type": "FULL_TEXT", **parameters, "mode": mode or "text"}

    def _modes(self) -> tuple[str, ...]:
        return _OUTPUTS.get(str(self._facts.config.get("model_type")), ("text",))

    def _one(self, item: Any, /, *, mode: str = "text", **parameters: Any) -> list[dict[str, Any]]:
        key = f"generated_{mode}"
        if mode == "text":
            return super()._one(item, **parameters)
        answers = super()._one(item, **{**parameters, "return_type": "NEW_TEXT", "key": key})
        for answer in answers:
            answer[key] = _made(mode, self._facts.name, str(answer[key]))
        return answers

    def _prompt(self, item: Any) -> Prompt:
        beside: dict[str, Any] = {}
        text = item
        if not isinstance(item, (list, tuple, str)):
            beside = item.copy()  # Python's own AttributeError if it is not a dict
            text = beside.pop("text", None)
        if text is None and beside.get("audio") is None:
            raise ValueError("the pipeline needs text")
        texts = (text,) if isinstance(text, str) else tuple(text)  # Python's own TypeError for a sound without text
        if not all(isinstance(one, str) for one in texts):
            raise ValueError("text must be a string, or a list of strings")
        _check_sounds(beside.get("audio"))
        processor = self._facts.read_file("processor_config.json")
        for name, key in (("images", "image_token"), ("audio", "audio_token")):
            given = beside.get(name)
            number = None if given is None else len(given) if isinstance(given, (list, tuple)) else 1
            check_placeholders(text, processor.get(key), number, name)
        return Prompt(texts, Seen(item, texts, tuple(_digests(beside))), texts)


def _check_sounds(given: Any) -> None:
    for one in given if isinstance(given, (list, tuple)) else [given]:
        if isinstance(one, str):
            if not one.startswith(("http://", "https://")) and not os.path.isfile(one):  # noqa: PTH113 - fast
                raise ValueError(f"not a URL, and not the path of an existing file: {one[:80]!r}")
        elif one is not None and not is_array(one):
            raise TypeError(f"a sound must be an array, a path or a URL, found {type(one).__name__}")


def _digests(beside: Mapping[str, Any]) -> list[bytes]:
    found = []
    for value in beside.values():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if is_pillow_image(one):
                found.append(read_image(one).digest)
            elif is_array(one):
                found.append(array_digest(one))
            elif isinstance(one, str):
                found.append(hashlib.blake2b(one.encode()).digest())
    return found


def _made(mode: str, *parts: str) -> Any:
    numpy = importlib.import_module("numpy")
    [unit] = seeded.units(1, mode, *parts)
    if mode == "audio":
        return (0.5 * numpy.sin(numpy.arange(_AUDIO_SAMPLES) * (0.02 + 0.1 * unit))).astype("float32")
    return importlib.import_module("PIL.Image").new("RGB", (_IMAGE_SIDE, _IMAGE_SIDE), (int(255 * unit),) * 3)
