"""The call forms of the feature-extraction contract."""

from __future__ import annotations

from typing import Any

from ..contract import Case, Contract
from .architectures import architecture
from .inputs import BATCHES, texts_in_every_form, wrong_inputs

FORMS = texts_in_every_form("the bitcoin crash", "a day in London, with Sarah", "")
LONG = " ".join(["the market of the year"] * 60)
CALLS: list[dict[str, Any]] = [
    *({"return_tensors": value} for value in (True, False, "pt", None)),
    *({"truncation": value} for value in (True, False, "only_first", "bogus")),
    *(
        {"tokenize_kwargs": value}
        for value in (
            {},
            {"truncation": True, "max_length": 4},
            {"max_length": 4},
            {"padding": "max_length", "max_length": 12},
            {"padding": "max_length"},
            {"padding": True, "pad_to_multiple_of": 8},
            {"add_special_tokens": False},
            {"text_pair": "of the year"},
            {"return_tensors": "pt"},
            {"padding": "bogus"},
            {"unknown": 1},
        )
    ),
    {"tokenize_kwargs": {"truncation": True}, "truncation": True},
    {"tokenize_kwargs": {"max_length": 5}, "truncation": True, "return_tensors": True},
    {"unknown": 1},
    *BATCHES,
]
OTHERS = {kind: architecture(kind, "AutoModel") for kind in ("albert", "bart", "gpt2", "llama", "t5")}
BUILDS: list[dict[str, Any]] = [
    {"return_tensors": True},
    {"truncation": True},
    {"tokenize_kwargs": {"truncation": True, "max_length": 4}},
    {"batch_size": 2},
    {"batch_size": "x"},
]


def _cases() -> list[Case]:
    cases = [Case(name, make) for name, make in {**FORMS, **wrong_inputs()}.items()]
    cases += [Case(f"{form} | {call}", FORMS[form], call) for call in CALLS for form in ("text", "list", "generator")]
    cases += [
        Case(f"{form} built with {b}", FORMS[form], build=b) for b in BUILDS for form in ("text", "list", "dataset")
    ]
    cases += [Case(f"{method} {form}", FORMS[form], method=method)
              for method in ("predict", "transform") for form in ("text", "list")]  # fmt: skip
    cases += [
        Case("too long", lambda: LONG),
        Case("too long and wrong, in a batch", lambda: [LONG, None], {"batch_size": 2}),
        Case("too long, truncated", lambda: LONG, {"truncation": True}),
        Case("texts of different lengths in a padded tuple", FORMS["tuple"], {"tokenize_kwargs": {"padding": True}}),
        Case("a tuple in batches", lambda: [("a", "b"), ("the", "of")], {"batch_size": 2}),
        Case("marks and letters", lambda: "Ünïcödé 😀 can't, e.g. 3.14!"),
        Case("lone surrogate", lambda: "\ud800"),
        *(Case(f"{name} | {kind}", make, variant=kind)
          for kind in OTHERS for name, make in {"text": FORMS["text"], "too long": lambda: LONG}.items()),
    ]  # fmt: skip
    return cases


CONTRACT = Contract("feature-extraction", tuple(_cases()), variants=OTHERS)
