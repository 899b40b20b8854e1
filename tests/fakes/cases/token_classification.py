"""The call forms of the token-classification contract."""

from __future__ import annotations

from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe, probability
from .inputs import BATCHES, dataset, texts_in_every_form, wrong_inputs

TEXT = "Sarah works at the Acme company in New York, she's glad."
FORMS = texts_in_every_form(TEXT, "my name is Sarah", "London")
LONG = " ".join(["Sarah lives in New York and works in Paris."] * 20)
WORDS = ["Sarah", "lives", "in", "Frankfurt"]
STRATEGIES = ("none", "simple", "first", "average", "max")
PLAIN_KEYS = "entity score index word start end"
JOINED_KEYS = "entity_group score word start end"
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
EVERY: dict[str, Any] = {"ignore_labels": []}  # so that the number of tokens does not depend on random weights
CALLS: list[dict[str, Any]] = [
    *({"aggregation_strategy": value} for value in (*STRATEGIES, "SIMPLE", "bogus", "", None, 5)),
    *({"aggregation_strategy": value, **EVERY} for value in STRATEGIES),
    *({"ignore_labels": value} for value in ([], ["O"], list(LABELS), ("O",), "O", ["PER"], {"O"}, 1)),
    {"ignore_labels": ["O", "PER", "LOC"], "aggregation_strategy": "simple"},
    {"stride": 2},
    {"stride": 2, "aggregation_strategy": "simple"},
    {"stride": 2, "aggregation_strategy": "none"},
    {"stride": 200, "aggregation_strategy": "simple"},
    {"stride": "x"},
    {"is_split_into_words": True},
    {"is_split_into_words": False},
    {"delimiter": "-"},
    {"offset_mapping": [(0, 1)] * 40, **EVERY},
    {"offset_mapping": [[(0, 1)] * 40], **EVERY},
    {"offset_mapping": [(0, 1)], **EVERY},
    {"offset_mapping": []},
    {"grouped_entities": True},
    {"unknown": 1},
    {"truncation": True},
    *({**batch, **EVERY} for batch in BATCHES),
]
BUILDS: list[dict[str, Any]] = [
    {"aggregation_strategy": "simple"},
    {"aggregation_strategy": "bogus"},
    {"ignore_labels": []},
    {"ignore_labels": [], "aggregation_strategy": "first"},
    {"is_split_into_words": True},
    {"batch_size": 2, "ignore_labels": []},
    {"stride": 2, "aggregation_strategy": "max"},
    {"unknown": 1},
]


def _describe(answer: Any, case: Case) -> str:
    kwargs = {**case.build, **case.call}
    keeps_all = kwargs.get("ignore_labels") == []
    is_joined = str(kwargs.get("aggregation_strategy")).lower() in STRATEGIES[1:]
    has_offsets = "offset_mapping" in kwargs
    made = case.make()
    source = made if isinstance(made, str) else None

    def override(value: Any) -> str | None:
        if not (type(value) is list and all(type(item) is dict for item in value)):
            return probability(value)
        starts = [item["start"] for item in value]
        labels = {item.get("entity", item.get("entity_group")) for item in value}
        known = {label.split("-")[-1] if is_joined else label for label in LABELS}
        text = f"entities in order={starts == sorted(starts)} known={labels <= known}"
        if source is not None and not has_offsets:
            text += f" points at words={all(_points(item, source) for item in value)}"
        if not keeps_all:  # random weights decide whether any token is an entity
            keys = {" ".join(item) for item in value}
            return f"{text} {keys <= {JOINED_KEYS if is_joined else PLAIN_KEYS}}"
        text += f" {sorted({describe(item, override) for item in value})}"
        if not is_joined:
            text += f" {[(item['start'], item['end'], item['word'], item['index']) for item in value]}"
        elif "stride" not in kwargs and value:
            text += f" from {starts[0]} to {value[-1]['end']}"
        return text

    return describe(answer, override)


def _points(item: dict[str, Any], source: str) -> bool:
    part = source[item["start"] : item["end"]].lower().replace(" ", "")
    return bool(part == item["word"].lower().replace("##", "").replace(" ", ""))


def _cases() -> list[Case]:
    cases = [Case(f"{name}, every token", make, EVERY) for name, make in {**FORMS, **wrong_inputs()}.items()]
    cases += [Case(f"{form} | {call}", FORMS[form], call) for call in CALLS for form in ("text", "list")]
    cases += [Case(f"{form} built with {b}", FORMS[form], build=b) for b in BUILDS for form in ("text", "generator")]
    split = {"is_split_into_words": True, **EVERY}
    cases += [
        Case("words", lambda: WORDS, split),
        Case("words, joined", lambda: WORDS, {**split, "aggregation_strategy": "simple"}),
        Case("words, first", lambda: WORDS, {**split, "aggregation_strategy": "first"}),
        Case("words with a delimiter", lambda: WORDS, {**split, "delimiter": "--"}),
        Case("lists of words", lambda: [WORDS, ["Paris"]], split),
        Case("lists of words in batches", lambda: [WORDS, ["Paris"]], {**split, "batch_size": 2}),
        Case("tuple of words", lambda: tuple(WORDS), split),
        Case("words and a number", lambda: ["Sarah", 1], split),
        Case("empty words", lambda: ["", "Sarah"], split),
        Case("list of no words", lambda: [[]], split),
        Case("generator of words", lambda: (words for words in [WORDS]), split),
        Case("dataset of words", lambda: dataset([WORDS]), split),
        Case("no words", list, split),
        Case("one word", lambda: "Sarah", split),
        Case("empty text", lambda: "", EVERY),
        Case("only spaces", lambda: "   ", EVERY),
        Case("marks and letters", lambda: "Ünïcödé 😀 can't, e.g. 3.14!", EVERY),
        Case("marks and letters, joined", lambda: "Ünïcödé 😀 can't!", {**EVERY, "aggregation_strategy": "first"}),
        Case("too long", lambda: LONG, EVERY),
        Case("too long, in chunks", lambda: LONG, {**EVERY, "stride": 10, "aggregation_strategy": "simple"}),
        Case("too long, in chunks of words", lambda: LONG, {**EVERY, "stride": 10, "aggregation_strategy": "max"}),
        Case("by name", lambda: Args(inputs=TEXT), EVERY),
        Case("two by position", lambda: Args(TEXT, TEXT), EVERY),
        Case("offsets of a list", lambda: ["a", "b"], {"offset_mapping": [[(0, 1)] * 9] * 2, **EVERY}),
        Case("lone surrogate", lambda: "\ud800", EVERY),
        *(Case(f"{method} {form}", FORMS[form], method=method, build=EVERY)
          for method in ("predict", "transform") for form in ("text", "list")),
    ]  # fmt: skip
    return cases


CONTRACT = Contract("token-classification", tuple(_cases()), describe=_describe)
