"""The call forms of the text-classification contract."""

from __future__ import annotations

from collections import UserDict, UserList
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from ..contract import Case, Contract
from ..structure import describe, ranking, repeated
from .architectures import architecture
from .inputs import Text, Unregistered, dataset, iterable_dataset, key_dataset

CHAT = [{"role": "user", "content": "hello"}]
THREE = {"id2label": {0: "A", 1: "B", 2: "C"}, "label2id": {"A": 0, "B": 1, "C": 2}}
CONFIGS: dict[str, dict[str, Any]] = {
    "unnamed labels": {"num_labels": 4},
    "binary": {},
    "one label": {"id2label": {0: "TOXIC"}},
    "regression": {"num_labels": 1, "problem_type": "regression"},
    "two regressions": {"num_labels": 2, "problem_type": "regression"},
    "multi-label": {**THREE, "problem_type": "multi_label_classification"},
    "single-label": {**THREE, "problem_type": "single_label_classification"},
}


def pair(**extra: Any) -> dict[str, Any]:
    return {"text": "a", "text_pair": "b", **extra}


INPUTS: dict[str, Callable[[], Any]] = {
    "text": lambda: "the crash of bitcoin",
    "empty text": lambda: "",
    "unknown words": lambda: "Ünïcödé 😀",
    "string subclass": lambda: Text("a"),
    "lone surrogate": lambda: "\ud800",
    "list of one": lambda: ["a"],
    "list": lambda: ["a", "b", "the crash"],
    "empty list": list,
    "list of empty text": lambda: [""],
    "tuple of one": lambda: ("a",),
    "tuple of equal lengths": lambda: ("a", "b"),
    "tuple of unequal lengths": lambda: ("the price", "a"),
    "empty tuple": tuple,
    "generator": lambda: (text for text in ("a", "b")),
    "empty generator": lambda: (text for text in ()),
    "generator of pairs": lambda: (pair() for _ in "ab"),
    "generator with None": lambda: (text for text in ("a", None)),
    "generator of messages": lambda: (message for message in CHAT),
    "generator of chats": lambda: (chat for chat in [CHAT]),
    "list iterator": lambda: iter(["a"]),
    "map": lambda: map(str, "ab"),
    "range": lambda: range(2),
    "set": lambda: {"a"},
    "dataset": lambda: dataset(["a", "b", "the crash"]),
    "dataset that does not end by itself": lambda: dataset(["a", "b"], ends=False),
    "empty dataset": lambda: dataset([]),
    "dataset of dicts": lambda: dataset([{"text": "a"}, pair()]),
    "dataset with None": lambda: dataset(["a", None]),
    "iterable dataset": lambda: iterable_dataset(["a", "b", "a"]),
    "key dataset": lambda: key_dataset(["a", "b", "a"]),
    "empty key dataset": lambda: key_dataset([]),
    "key dataset of numbers": lambda: key_dataset([1]),
    "no torch dataset": Unregistered,
    "dict": lambda: {"text": "a"},
    "pair": pair,
    "pair with None": lambda: pair(text_pair=None),
    "pair with a number": lambda: pair(text_pair=1),
    "pair with a list": lambda: pair(text_pair=["b"]),
    "dict of lists": lambda: {"text": ["a", "b"], "text_pair": ["b", "a"]},
    "dict of unequal lists": lambda: {"text": ["a", "b"], "text_pair": ["b"]},
    "dict of list and text": lambda: {"text": ["a", "b"], "text_pair": "b"},
    "dict of an empty list": lambda: {"text": []},
    "dict with unknown keys": lambda: {"text": "a", "colour": "red", "top_k": 2},
    "dict without text": lambda: {"label": "a"},
    "dict with text_pair only": lambda: {"text_pair": "a"},
    "dict with text_target only": lambda: {"text_target": "a"},
    "dict with text and text_target": lambda: {"text": "a", "text_target": "b"},
    "dict with text_target and a pair": lambda: {"text_target": "a", "text_pair": 1},
    "pair with an empty text": lambda: pair(text_pair=""),
    "pair with an empty tuple": lambda: pair(text_pair=()),
    "dict of an empty list and a pair": lambda: {"text": [], "text_pair": ["a"]},
    "tuple of a tuple of a list of a number": lambda: (([1],),),
    "tuple of empty tuples": lambda: ((), ()),
    "dict of None": lambda: {"text": None},
    "dict of a number": lambda: {"text": 1},
    "dict with return_tensors": lambda: {"text": "a", "return_tensors": "pt"},
    "dict with a numeric key": lambda: {1: "a"},
    "empty dict": dict,
    "user dict": lambda: UserDict(text="a"),
    "user list": lambda: UserList(["a"]),
    "list of dicts": lambda: [{"text": "a"}, pair()],
    "list of text and dict": lambda: ["a", pair()],
    "list of wrong dicts": lambda: [{"label": "a"}],
    "list of a list of a pair": lambda: [[["a", "b"]]],
    "lists of a list of a pair": lambda: [[["a", "b"]], [["b", "a"]]],
    "list of a list of a triple": lambda: [[["a", "b", "a"]]],
    "list of a list of a tuple": lambda: [[("a", "b")]],
    "list of a list of a half pair": lambda: [[["a", None]]],
    "list of lists": lambda: [["a", "b"]],
    "list of an empty list": lambda: [[]],
    "list of tuples": lambda: [("a", "b")],
    "list of an empty tuple": lambda: [()],
    "tuple of a pair": lambda: (("a", "b"),),
    "tuple of a triple": lambda: (("a", "b", "a"),),
    "tuple of text and number": lambda: ("a", 1),
    "tuple of a dict": lambda: ({"text": "a"},),
    "None": lambda: None,
    "int": lambda: 1,
    "float": lambda: 1.5,
    "bool": lambda: True,
    "bytes": lambda: b"a",
    "path": lambda: Path("a"),
    "list of None": lambda: [None],
    "list with None at the end": lambda: ["a", None],
    "list with a number": lambda: ["a", 1],
    "message": lambda: CHAT[0],
    "chat": lambda: CHAT,
    "chat with a text": lambda: [{**CHAT[0], "text": "a"}],
    "list of chats": lambda: [CHAT],
}
CALLS: list[dict[str, Any]] = [
    *({"top_k": top_k} for top_k in (None, 1, 2, 3, 10, 0, -1, True, False, "x", 1.0)),
    *({"function_to_apply": f} for f in ("softmax", "SIGMOID", "none", None, "bogus", "default", "", 3, 0)),
    *({"return_all_scores": value} for value in (True, False)),
    {"return_all_scores": True, "top_k": 2},
    *({"truncation": value} for value in (True, "only_first", None, "bogus", 1)),
    *({"padding": value} for value in (True, "max_length", "bogus", None, 3)),
    {"padding": "max_length", "truncation": True, "max_length": 8},
    *({"batch_size": size} for size in (1, 2, 8, 0, -1, "x", 2.0, True)),
    *({"num_workers": number} for number in (0, -1, "x")),
    {"text_pair": "b"},
    {"text_pair": 1},
    {"text": "b"},
    {"inputs": "b"},
    {"return_tensors": "pt"},
    {"unknown": 1},
    {"function_to_apply": "sigmoid", "top_k": None, "batch_size": 2, "truncation": True},
]
BUILDS: list[dict[str, Any]] = [
    {"top_k": 1},
    {"top_k": 2},
    {"top_k": "x"},
    {"return_all_scores": True},
    {"function_to_apply": "none"},
    {"function_to_apply": "bogus"},
    {"function_to_apply": 3},
    {"batch_size": 2},
    {"batch_size": "x"},
    {"truncation": True, "max_length": 8},
    {"text": "b"},
    {"device": "cpu", "use_fast": True, "trust_remote_code": False},
]
FORMS = ("text", "list", "pair", "generator", "dataset")
LONG = "the price of bitcoin " * 80
OTHERS = {
    "decoder": architecture("gpt2", "AutoModelForSequenceClassification", pad_token_id=None),
    "encoder and decoder": architecture("bart", "AutoModelForSequenceClassification", eos_token_id=3),
    "albert": architecture("albert", "AutoModelForSequenceClassification"),
}


def _cases() -> list[Case]:
    cases = [
        Case(f"{name} built with {build or 'nothing'}", make, build=build)
        for name, make in INPUTS.items()
        for build in ({}, {"top_k": None})
    ]
    cases += [Case(f"{form} | {call}", INPUTS[form], call) for call in CALLS for form in FORMS[:4]]
    cases += [Case(f"{form} built with {b}", INPUTS[form], build=b) for b in BUILDS for form in FORMS]
    cases += [
        Case(f"{form} | {call} | {variant}", INPUTS[form], call, variant=variant)
        for variant in ("", *CONFIGS)
        for form in FORMS[:2]
        for call in ({}, {"top_k": None}, {"function_to_apply": "softmax", "top_k": 1})
    ]
    cases += [
        Case(f"{name} | {variant}", make, variant=variant)
        for variant in ("", *OTHERS)
        for name, make in {"too long": lambda: LONG, "list with a long text": lambda: ["a", LONG]}.items()
    ]
    cases += [
        Case("batch without a padding token", INPUTS["list"], {"batch_size": 2}, variant="decoder"),
        Case("special tokens neither wanted nor not", INPUTS["text"], {"add_special_tokens": None}),
        Case("chain", lambda: chain(["a"], ["b"])),
    ]
    cases += [
        Case(f"{method} {form}", INPUTS[form], method=method) for method in ("predict", "transform") for form in FORMS
    ]
    return cases  # fmt: skip


def _describe(answer: Any, case: Case) -> str:
    top_ks = [kwargs["top_k"] for kwargs in (case.build, case.call) if "top_k" in kwargs]
    is_ranked = any(top_k is None or isinstance(top_k, int) for top_k in top_ks)
    function = case.call.get("function_to_apply", case.build.get("function_to_apply"))
    is_probability = "regression" not in case.variant and str(function).lower() != "none"

    def override(value: Any) -> str | None:
        if type(value) is float and is_probability:
            return "float in [0, 1]" if 0 <= value <= 1 else "float out of range"
        if is_ranked and type(value) is list and value and all(type(item) is dict for item in value):
            laws = ranking([item["score"] for item in value], [item["label"] for item in value])
            return "[" + ", ".join(repeated([describe(item, override) for item in value])) + f"] {laws}"
        return None

    return describe(answer, override)


def _relabel(config: dict[str, Any]) -> Callable[[Path], None]:
    """Return a function that changes the model's config, with a head for its labels and random weights."""

    def edit(folder: Path) -> None:
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        found = BertConfig.from_pretrained(folder).to_dict()
        plain = {key: value for key, value in found.items() if key not in ("id2label", "label2id")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            BertForSequenceClassification(BertConfig(**{**plain, **config})).save_pretrained(folder)

    return edit


CONTRACT = Contract(
    "text-classification",
    tuple(_cases()),
    describe=_describe,
    variants={**{name: _relabel(config) for name, config in CONFIGS.items()}, **OTHERS},
)
