"""The contracts of the tasks that join text with images, documents or sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe, probability
from .describing import lengthless
from .inputs import LOADER_CALLS, noise, picture, picture_file

WORDS = [("invoice", [10, 10, 60, 20]), ("number", [70, 10, 120, 20]), ("us-001", [10, 30, 60, 40]),
         ("total", [10, 50, 60, 60]), ("$42", [70, 50, 90, 60])]  # fmt: skip
QUESTION = "what is the number?"


def _document(**extra: Any) -> dict[str, Any]:
    return {"image": picture(), "question": QUESTION, "word_boxes": WORDS, **extra}


def _asked(boxes: Any) -> Callable[[], Args]:
    return lambda: Args(picture(), QUESTION, boxes)


DOCUMENTS: dict[str, Callable[[], Any]] = {
    "image, question and words": _asked(WORDS),
    "file, question and words": lambda: Args(picture_file(), QUESTION, WORDS),
    "question and words": lambda: Args(None, QUESTION, WORDS),
    "by name": lambda: Args(**_document()),
    "dict": _document,
    "list of dicts": lambda: [_document(), _document(question="how much?")],
    "generator of dicts": lambda: (_document() for _ in range(2)),
    "dict without an image": lambda: {"question": QUESTION, "word_boxes": WORDS},
    "dict without a question": lambda: {"word_boxes": WORDS},
    "dict of no question": lambda: _document(question=None),
    "question alone": lambda: Args(None, QUESTION),
    "image alone": picture,
    "None": lambda: None,
    "number": lambda: 3,
    "text": lambda: "a question",
    "nothing": lambda: Args(),
    "empty list": list,
    "question of a number": lambda: Args(picture(), 3, WORDS),
    "list of questions": lambda: Args(picture(), [QUESTION], WORDS),
    "missing file": lambda: Args("missing.png", QUESTION, WORDS),
    "empty question": lambda: Args(picture(), "", WORDS),
    "no words": _asked([]),
    "an empty word": _asked([("", [0, 0, 1, 1])]),
    "a box of three numbers": _asked([("a", [0, 0, 1])]),
    "a box outside the page": _asked([("a", [0, 0, 2000, 1])]),
    "a box at the edge": _asked([("a", [0, 0, 1001, 1])]),
    "a box of fractions": _asked([("a", [0.5, 0.5, 1.5, 1.5])]),
    "a box from right to left": _asked([("a", [9, 0, 1, 1])]),
    "a long question": lambda: Args(picture(), "price " * 200, WORDS),
    "a word without a box": _asked([3]),
    "words as a text": _asked("x"),
    "a word that is a number": _asked([(3, [0, 0, 1, 1])]),
    "a word of two": _asked([("a b", [0, 0, 1, 1]), ("c", [0, 0, 1, 1])]),
    "many words": _asked([(f"w{index}", [0, 0, 1, 1]) for index in range(200)]),
    "four inputs": lambda: Args(picture(), QUESTION, WORDS, 3),
}


def _answered(answer: Any, case: Case) -> str:
    """Describe answers without their number, but with the law that each is made of the words of the document."""
    made = case.make()
    words = [word for word, _ in WORDS]
    if isinstance(made, Args) and len(made.args) == 3 and isinstance(made.args[2], list):
        words = [word for word, _ in made.args[2]]
    top_k = case.call.get("top_k") or 1

    def override(value: Any) -> str | None:
        if type(value) is list and value and all(type(item) is dict for item in value):
            scores = [item["score"] for item in value]
            joined = all(item["answer"] in ("", " ".join(words[item["start"] : item["end"] + 1])) for item in value)
            some = " or ".join(sorted({describe(item, override) for item in value}))
            falling = scores == sorted(scores, reverse=True)
            return f"some of {some} from the words={joined} falling={falling} few enough={len(value) <= top_k}"
        return probability(value)

    return describe(answer, override)


DOCUMENT = Contract(
    "document-question-answering",
    (
        *(Case(name, make) for name, make in DOCUMENTS.items()),
        *(
            Case(f"{form} | {call}", DOCUMENTS[form], call)
            for call in (
                *({"top_k": value} for value in (1, 2, 100, 0, -1, None, "x", 1.5, True)),
                *({"max_answer_len": value} for value in (1, 2, 0, None, "x")),
                *({"handle_impossible_answer": value} for value in (True, False)),
                {"handle_impossible_answer": True, "top_k": 5},
                *({"padding": value} for value in (True, "max_length", "x")),
                *({"doc_stride": value} for value in (3, -1, 1000, "x")),
                *({"max_seq_len": value} for value in (60, 5, "x")),
                *({"max_question_len": 3}, {"lang": "eng"}),
                *({"tesseract_config": "x"}, {"timeout": 1}, {"unknown": 1}),
                *LOADER_CALLS,
            )
            for form in ("image, question and words", "list of dicts")
        ),
    ),
    describe=_answered,
)
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


def _continued(answer: Any, _: Case) -> str:
    """Describe answers: what is new in them depends on random weights, but not whether the prompt comes first."""

    def override(value: Any) -> str | None:
        if isinstance(value, dict) and isinstance(value.get("generated_text"), str):
            prompt = value.get("input_text")
            first = isinstance(prompt, str) and value["generated_text"].startswith(prompt)
            rest = ", ".join(f"{key}: {describe(item, override)}" for key, item in value.items())
            return f"{{{rest}}} prompt first={first}"
        return lengthless(value)

    return describe(answer, override)


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
    "empty list": list,
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
    ),
    describe=_continued,
)  # fmt: skip
CONTRACTS = (DOCUMENT, IMAGE_TEXT, ANY_TO_ANY)
