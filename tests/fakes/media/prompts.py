"""The contracts of the tasks that continue texts with images and sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cases.inputs import Recorder
from ..contract import Args, Case, Contract
from ..structure import describe
from .describing import lengthless
from .inputs import noise, picture, picture_file

PROMPT = "<image> what"
CHAT = [{"role": "user", "content": [{"type": "text", "text": "what"}]}]
PLAIN_CHAT = [{"role": "user", "content": "what"}]
PREFILLED = [*CHAT, {"role": "assistant", "content": [{"type": "text", "text": "it is"}]}]
PLAIN_PREFILLED = [*PLAIN_CHAT, {"role": "assistant", "content": "it is"}]
SHORT = {"max_new_tokens": 4}


def _image_chat() -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": "what"}]},
    ]


PROMPTS: dict[str, Callable[[], Any]] = {
    "image and text": lambda: Args(picture(), PROMPT),
    "by name": lambda: Args(images=picture(), text=PROMPT),
    "file and text": lambda: Args(picture_file(), PROMPT),
    "text by name": lambda: Args(text="hello"),
    "texts by name": lambda: Args(text=["hello", "you"]),
    "list of one text": lambda: Args(text=["hello"]),
    "text as the input": lambda: "hello",
    "images and texts": lambda: Args([picture(), picture(9, 9)], [PROMPT, "<image> where"]),
    "lists of images and texts": lambda: Args([[picture()], [picture(9, 9)]], [PROMPT, PROMPT]),
    "dict": lambda: {"images": picture(), "text": PROMPT},
    "list of a dict": lambda: [{"images": picture(), "text": PROMPT}],
    "generator of dicts": lambda: ({"images": picture(), "text": PROMPT} for _ in range(2)),
    "chat": lambda: Args(text=CHAT),
    "chat as the input": lambda: CHAT,
    "chat with an image": _image_chat,
    "chat of plain texts": lambda: PLAIN_CHAT,
    "prefilled chat": lambda: PREFILLED,
    "prefilled chat of plain texts": lambda: PLAIN_PREFILLED,
    "list of chats": lambda: [_image_chat(), CHAT],
    "list of chats by name": lambda: Args(text=[CHAT, CHAT]),
    "chat with None": lambda: [{"role": "user", "content": None}],
    "chat with the place of an image": lambda: [{"role": "user", "content": [{"type": "image"}]}],
    "chat and images": lambda: Args(text=CHAT, images=picture()),
    "chat without content": lambda: [{"role": "user"}],
    "chat with a number": lambda: [{"role": "user", "content": "x"}, 3],
    "image without text": picture,
    "image without its place": lambda: Args(picture(), "what"),
    "place without its image": lambda: Args(None, PROMPT),
    "two places": lambda: Args(picture(), "<image><image>"),
    "images and one text": lambda: Args([picture(), picture()], PROMPT),
    "image and texts": lambda: Args([picture()], ["a", "b"]),
    "no images": lambda: Args([], PROMPT),
    "nothing": lambda: Args(),
    "None": lambda: Args(None, None),
    "empty list": list,
    "empty list of texts": lambda: Args(text=[]),
    "dict without images": lambda: {"text": PROMPT},
    "dict without text": lambda: {"images": picture()},
    "number": lambda: 3,
    "number as the text": lambda: Args(None, 3),
    "image and a number": lambda: Args(picture(), 3),
    "missing file": lambda: Args("missing.png", PROMPT),
    "three inputs": lambda: Args(picture(), PROMPT, 3),
}
CALLS: list[dict[str, Any]] = [
    *({"return_full_text": value} for value in (True, False, None)),
    *({"return_tensors": value} for value in (True, False)),
    *({"return_type": value} for value in (0, 1, 2, "x")),
    *({"padding": value} for value in (True, "x")),
    *({"stop_sequence": value} for value in ("q", [])),
    {"return_tensors": True, "return_full_text": True},
    *({"max_new_tokens": value} for value in (1, 0, -1, "x")),
    *({"generate_kwargs": value, "max_new_tokens": None} for value in ({}, {"max_new_tokens": 2}, 3, [])),
    {"generate_kwargs": {"unknown": 1}},
    {"generate_kwargs": {"max_new_tokens": 2}},
    *(
        {"generate_kwargs": {"num_return_sequences": 2, **value}}
        for value in ({"do_sample": True}, {"num_beams": 2}, {})
    ),
    *({"continue_final_message": value} for value in (True, False)),
    *({"skip_special_tokens": False}, {"clean_up_tokenization_spaces": True}, {"timeout": 1}),
    *({"batch_size": 1}, {"processor_kwargs": {}}),
]
EXACTLY: list[dict[str, Any]] = [
    *({"max_new_tokens": number, "min_new_tokens": number} for number in (1, 3, 12)),
    *({"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": True, name: 2}
      for name in ("num_return_sequences", "num_beams")),
    {"max_new_tokens": 3, "min_new_tokens": 3, "num_beams": 2},
]  # fmt: skip


def _continued(answer: Any, case: Case) -> str:
    """Describe answers: the generated text depends on random weights, but not whether the prompt comes first."""
    generation = case.call.get("generate_kwargs")
    exact = isinstance(generation, dict) and "min_new_tokens" in generation  # a real model then does not end earlier

    def override(value: Any) -> str | None:
        if isinstance(value, dict) and isinstance(value.get("generated_text"), str):
            prompt = value.get("input_text")
            first = isinstance(prompt, str) and value["generated_text"].startswith(prompt)
            rest = ", ".join(f"{key}: {describe(item, override)}" for key, item in value.items())
            return f"{{{rest}}} prompt first={first}"
        return None if exact else lengthless(value)

    found = describe(answer, override)
    return f"{found} streamed: {generation['streamer'].heard()}" if exact else found


def _exact(forms: dict[str, Callable[[], Any]], *names: str) -> list[Case]:
    """Return cases for token counts and streams. They have no images, whose tokens a fake cannot count."""
    return [
        Case(
            f"{name} exactly | {generation} | {call}",
            forms[name],
            {"generate_kwargs": {"streamer": Recorder(), **generation}, **call},
        )
        for name in names
        for generation in EXACTLY
        for call in ({"return_tensors": True}, {})
    ]


IMAGE_TEXT = Contract(
    "image-text-to-text",
    (
        *(Case(name, make, SHORT) for name, make in PROMPTS.items()),
        Case("empty text", lambda: Args(text=""), SHORT),
        *(
            Case(f"{form} | {call}", PROMPTS[form], {**SHORT, **call})
            for call in CALLS
            for form in ("image and text", "chat with an image", "prefilled chat", "texts by name")
        ),
        *(
            Case(f"{form} built with {build}", PROMPTS[form], build=build)
            for build in (
                SHORT,
                {"max_new_tokens": 4, "return_full_text": False},
                {"max_new_tokens": 4, "num_return_sequences": 2, "do_sample": True},
            )
            for form in ("image and text", "chat")
        ),
        *_exact(PROMPTS, "text by name", "texts by name", "chat"),
    ),
    describe=_continued,
)  # fmt: skip


def _sound_chat() -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "audio", "audio": noise()}, {"type": "text", "text": "what"}]}]


ANY: dict[str, Callable[[], Any]] = {
    "text": lambda: "hello",
    "text by name": lambda: Args(text="hello"),
    "list of texts": lambda: ["hello", "you"],
    "list of one text": lambda: ["hello"],
    "tuple of texts": lambda: ("hello", "you"),
    "generator": lambda: (text for text in ("hello", "you")),
    "dict": lambda: {"text": "hello"},
    "list of a dict": lambda: [{"text": "hello"}],
    "dict with a sound": lambda: {"text": "<audio> what", "audio": noise()},
    "sound and text": lambda: Args(text="<audio> what", audio=noise()),
    "sounds and texts": lambda: Args(text=["<audio> a", "<audio> b"], audio=[noise(), noise()]),
    "sound without its place": lambda: Args(text="what", audio=noise()),
    "place without its sound": lambda: "<audio> what",
    "chat": lambda: CHAT,
    "chat of plain texts": lambda: PLAIN_CHAT,
    "chat with a sound": _sound_chat,
    "prefilled chat": lambda: PREFILLED,
    "prefilled chat of plain texts": lambda: PLAIN_PREFILLED,
    "list of chats": lambda: [CHAT, PLAIN_CHAT],
    "nothing": lambda: Args(),
    "None": lambda: None,
    "None by name": lambda: Args(text=None, audio=None),
    "empty dict": dict,
    "list of an empty dict": lambda: [{}],
    "empty list": list,
    "empty list of sounds": lambda: Args(audio=[]),
    "number": lambda: 3,
    "image": picture,
    "dict without text": lambda: {"audio": noise()},
    "sound alone": lambda: Args(audio=noise()),
    "five inputs": lambda: Args("a", None, None, None, 3),
}
ANY_TO_ANY = Contract(
    "any-to-any",
    (
        *(Case(name, make, SHORT) for name, make in ANY.items()),
        Case("empty text", lambda: "", SHORT),
        *(
            Case(f"{form} | {call}", ANY[form], {**SHORT, **call})
            for call in (
                *CALLS,
                *({"generation_mode": value} for value in ("text", "audio", "image", "x", None)),
                {"generation_mode": "audio", "return_full_text": True},
            )
            for form in ("text", "chat with a sound", "prefilled chat", "list of texts")
        ),
        *(
            Case(f"{form} built with {build}", ANY[form], SHORT, build)
            for build in ({"return_full_text": False}, {"return_tensors": True}, {"generation_mode": "text"})
            for form in ("text", "chat")
        ),
        *_exact(ANY, "text", "list of texts", "chat"),
    ),
    describe=_continued,
)  # fmt: skip
CONTRACTS = (IMAGE_TEXT, ANY_TO_ANY)
