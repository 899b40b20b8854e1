"""The call forms of the fill-mask contract."""

from __future__ import annotations

from typing import Any

from ..contract import Case, Contract
from ..structure import describe, probability, repeated
from .inputs import BATCHES, texts_in_every_form, wrong_inputs

FORMS = texts_in_every_form("the [MASK] of paris", "sarah lives in [MASK].", "[MASK]")
LONG = " ".join(["the market of the [MASK]"] * 60)
CALLS: list[dict[str, Any]] = [
    *({"top_k": value} for value in (1, 2, 152, 153, 1000, 0, -1, "x", 2.0, True, None)),
    *(
        {"targets": value}
        for value in (
            "paris", ["paris"], ["paris", "london"], ["paris", "paris"], ["unheard"], "unheard", [], "", [""],
            ("paris", "london"), 1, [1], None, ["[MASK]"], ["."],
        )
    ),
    {"targets": ["paris", "london", "sarah"], "top_k": 2},
    {"targets": ["paris"], "top_k": 10},
    {"targets": ["paris"], "top_k": "x"},
    {"targets": ["paris"], "top_k": 0},
    *(
        {"tokenizer_kwargs": value}
        for value in (
            {}, {"truncation": True}, {"truncation": True, "max_length": 3},
            {"padding": "max_length", "max_length": 20},
            {"return_tensors": "pt"}, {"truncation": "bogus"}, {"add_special_tokens": False},
        )
    ),
    {"truncation": True},
    {"unknown": 1},
    *BATCHES,
]  # fmt: skip
BUILDS: list[dict[str, Any]] = [
    {"top_k": 2},
    {"targets": ["paris", "london"]},
    {"tokenizer_kwargs": {"truncation": True}},
    {"unknown": 1},
    {"batch_size": 2},
]


def _describe(answer: Any, case: Case) -> str:
    texts = case.make()
    source = texts if isinstance(texts, str) else None

    def override(value: Any) -> str | None:
        if type(value) is list and value and all(type(item) is dict for item in value):
            scores = [item["score"] for item in value]
            falling = scores == sorted(scores, reverse=True)
            distinct = len({item["token"] for item in value}) == len(value)
            laws = f"falling={falling} distinct={distinct} at most 1={sum(scores) < 1.00001}"
            if source is not None and source.count("[MASK]") == 1:
                laws += f" filled={all(_fills(item, source) for item in value)}"
            return "[" + ", ".join(repeated([describe(item, override) for item in value])) + f"] {laws}"
        return probability(value)

    return describe(answer, override)


def _fills(item: dict[str, Any], source: str) -> bool:
    """Whether the sequence starts and ends with the text around the mask."""
    before, after = source.lower().replace(" ", "").split("[mask]")
    sequence = item["sequence"].replace(" ", "")  # a subword is joined to the word before it
    return sequence.startswith(before) and sequence.endswith(after)


def _cases() -> list[Case]:
    cases = [Case(name, make) for name, make in {**FORMS, **wrong_inputs()}.items()]
    cases += [Case(f"{form} | {call}", FORMS[form], call) for call in CALLS for form in ("text", "list", "generator")]
    cases += [
        Case(f"{form} built with {b}", FORMS[form], build=b) for b in BUILDS for form in ("text", "list", "dataset")
    ]
    cases += [Case(f"{method} {form}", FORMS[form], method=method)
              for method in ("predict", "transform") for form in ("text", "list of one", "list")]  # fmt: skip
    cases += [
        Case("no mask", lambda: "the price"),
        Case("another mask", lambda: "the <mask>"),
        Case("empty text", lambda: ""),
        Case("list with a text without a mask", lambda: ["the [MASK]", "the price"]),
        Case("two masks", lambda: "the [MASK] of [MASK]"),
        Case("two masks, targets", lambda: "the [MASK] of [MASK]", {"targets": ["paris", "london"]}),
        Case("list of two masks", lambda: ["the [MASK] of [MASK]"]),
        Case("list of one and two masks", lambda: ["the [MASK]", "the [MASK] of [MASK]"], {"top_k": 2}),
        Case("one and two masks in a batch", lambda: ["the [MASK]", "the [MASK] of [MASK]"], {"batch_size": 2}),
        Case("too long", lambda: LONG),
        Case("too long, truncated", lambda: LONG, {"tokenizer_kwargs": {"truncation": True}, "top_k": 1}),
    ]
    return cases


CONTRACT = Contract("fill-mask", tuple(_cases()), describe=_describe)
