"""The fake of `ImageTextToTextPipeline` (`transformers/pipelines/image_text_to_text.py`, 5.23)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.fakes.base import Chat
from modelenv.fakes.continuing import (
    FakeContinuation,
    Prompt,
    chat_prompt,
    check_placeholders,
    generation_arguments,
    read_return_type,
)
from modelenv.fakes.media import Image, Seen, is_array, is_instance, is_pillow_image, read_image

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeImageTextToTextPipeline(FakeContinuation):
    """Continues a prompt with images, or a chat whose messages hold images, with some plain words."""

    __slots__ = ()

    def _answer(self, images: Any = None, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        if args:
            raise TypeError("the call takes images and text")
        if images is None and text is None:
            raise ValueError("pass text or images, or both")
        if _is_chat(text):
            if images is not None:
                raise ValueError("the images of a chat belong into the content of its messages")
            return self._run(_chats(text), **kwargs)
        if text is None and _is_chat(images):
            return self._run(_chats(images), **kwargs)
        if images is not None and text is None and not _are_images(images):
            return self._run(images, **kwargs)
        if images is None:
            return self._run(text, **kwargs)
        if text is None:
            raise ValueError("the pipeline needs a text beside the images")
        return self._run({"images": images, "text": text}, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return _parameters(**kwargs)

    def _one(
        self,
        item: Any,
        /,
        *,
        generate_kwargs: Any = None,
        return_type: str = "full",
        continue_final_message: Any = None,
    ) -> Any:
        return self._continued(
            chat_prompt(item, self._facts) if isinstance(item, Chat) else self._prompt(item),
            generate_kwargs=generate_kwargs or {},
            return_type=return_type,
            continue_final_message=continue_final_message,
        )

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
        return Prompt(texts, Seen(item, (*texts, *names), tuple(image.digest for image in found)))


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


def _parameters(
    max_new_tokens: Any = None,
    generate_kwargs: Any = None,
    return_full_text: Any = None,
    return_tensors: Any = None,
    return_type: Any = None,
    stop_sequence: Any = None,
    continue_final_message: Any = None,
    **_: Any,
) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    generation = generation_arguments(generate_kwargs, max_new_tokens, stop_sequence)
    if generation is not None:
        parameters["generate_kwargs"] = generation
    kind = read_return_type(return_type, return_full_text, return_tensors, None)
    if kind is not None:
        parameters["return_type"] = kind
    if continue_final_message is not None:
        parameters["continue_final_message"] = continue_final_message
    return parameters
