"""The fake of `ImageTextToTextPipeline` (`transformers/pipelines/image_text_to_text.py`, 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.base import Chat
from modelenv.fakes.media import Image, Seen, is_array, is_instance, is_pillow_image, read_image
from modelenv.fakes.multimodal.continuing import FakeContinuation, Prompt, check_placeholders, read_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeImageTextToTextPipeline(FakeContinuation):
    """Continues a prompt with images, or a chat whose messages contain images, with some plain words."""

    __slots__ = ()

    def _answer(self, images: Any = None, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        if args:
            raise TypeError("the call takes images and text")
        if images is None and text is None:
            raise ValueError("pass text or images, or both")
        if _is_chat(text):
            if images is not None:
                raise ValueError("the images of a chat must be in the content of its messages")
            return self._run(_chats(text), **kwargs)
        if text is None and _is_chat(images):
            return self._run(_chats(images), **kwargs)
        if images is not None and text is None and not _are_images(images):
            return self._run(images, **kwargs)
        if images is None:
            return self._run(text, **kwargs)
        if text is None:
            raise ValueError("the pipeline needs text with the images")
        return self._run({"images": images, "text": text}, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return read_parameters(**kwargs)

    def _prompt(self, item: Any) -> Prompt:
        images: list[Image] | None = None
        text = item
        if not isinstance(item, (list, tuple, str)):
            images = _read(item["images"])
            text = item["text"]
        token = self._facts.read_file("processor_config.json").get("image_token")
        texts = (text,) if isinstance(text, str) else tuple(text)
        if not all(isinstance(one, str) for one in texts):
            raise ValueError("text must be a string, or a list of strings")
        check_placeholders(text, token, None if images is None else len(images), "images")
        found = images or []
        names = [name for image in found for name in image.names]
        return Prompt(texts, Seen(item, (*texts, *names), tuple(image.digest for image in found)), texts)


def _read(images: Any) -> list[Image]:
    if not isinstance(images, (list, tuple)):
        return [read_image(images)]
    if images and isinstance(images[0], (list, tuple)):
        return [read_image(image) for group in images for image in group]
    return [read_image(image) for image in images]


def _is_chat(value: Any) -> bool:
    container = isinstance(value, (list, tuple)) or is_instance(
        value, "transformers.pipelines.pt_utils", "KeyDataset"
    )
    return container and isinstance(value[0], (list, tuple, dict))


def _chats(value: Any) -> Any:
    return Chat.of(value) if isinstance(value[0], dict) else [Chat.of(chat) for chat in value]


def _are_images(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_are_images(one) for one in value)
    return is_pillow_image(value) or is_array(value)
