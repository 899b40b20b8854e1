"""The call forms of the document-question-answering contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe, probability
from .inputs import LOADER_CALLS, picture, picture_file

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
    """Describe answers, but not their number, with the invariant that each consists of words of the document."""
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
CONTRACTS = (DOCUMENT,)
