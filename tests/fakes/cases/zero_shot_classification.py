"""The call forms of the zero-shot-classification contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe, ranking
from .architectures import architecture
from .inputs import BATCHES, texts_in_every_form, wrong_inputs

FORMS = texts_in_every_form("the market of the year", "sarah lives in paris", "a")
LABELS = ["market", "city", "day"]
LONG = " ".join(["the market of the year"] * 60)
CALLS: list[dict[str, Any]] = [
    *(
        {"candidate_labels": value}
        for value in (
            "market", "market, city", "market,,city,", "",
            ",", [], ["market"], ("market", "city"), ["a", "a"], None, 1,
            [1, 2], [None], {"market": 1}, {"market"}, ["", "city"],
        )
    ),
    *({"candidate_labels": LABELS, "multi_label": value} for value in (True, False, None, 1, "x")),
    {"candidate_labels": ["market"], "multi_label": True},
    *(
        {"candidate_labels": LABELS, "hypothesis_template": value}
        for value in ("About {}.", "{}", "no place", "", "{0} or {0}", "{} and {}", "{name}", None, 1)
    ),
    {"candidate_labels": LABELS, "unknown": 1},
    {"candidate_labels": LABELS, "top_k": 1},
    {"candidate_labels": LABELS, "truncation": "only_first"},
    *({"candidate_labels": LABELS, **batch} for batch in BATCHES),
]  # fmt: skip
BUILDS: list[dict[str, Any]] = [
    {"candidate_labels": LABELS},
    {"candidate_labels": "market, city", "multi_label": True},
    {"hypothesis_template": "no place", "candidate_labels": LABELS},
    {"batch_size": 2, "candidate_labels": LABELS},
    {"unknown": 1, "candidate_labels": LABELS},
]


def _describe(answer: Any, case: Case) -> str:
    multi_label = case.call.get("multi_label", case.build.get("multi_label"))
    given = case.call.get("candidate_labels", case.build.get("candidate_labels"))
    known = [label.strip() for label in given.split(",") if label.strip()] if isinstance(given, str) else given

    def override(value: Any) -> str | None:
        if not isinstance(value, dict) or list(value) != ["sequence", "labels", "scores"]:
            return None
        kinds = describe(value["scores"]), describe(value["labels"])
        laws = ranking(value["scores"], [str(label) for label in value["labels"]])
        if multi_label or len(value["labels"]) == 1:
            laws = laws.split(" sums")[0]
        if known is not None:
            laws += f" known={sorted(map(str, known)) == sorted(map(str, value['labels']))}"
        in_range = all(0 <= score <= 1 for score in value["scores"])
        return f"{{sequence: {value['sequence']!r}, labels: {kinds[1]}, scores: {kinds[0]}}} {laws} {in_range}"

    return describe(answer, override)


DECODER = architecture("gpt2", "AutoModelForSequenceClassification", pad_token_id=0, num_labels=3)


def _relabelled(label2id: dict[str, int]) -> Callable[[Path], None]:
    """Return a function that changes the labels in the model's config."""

    def edit(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, "label2id": label2id}), encoding="utf-8")

    return edit


def _cases() -> list[Case]:
    labels = {"candidate_labels": LABELS}
    cases = [Case(name, make, labels) for name, make in {**FORMS, **wrong_inputs()}.items()]
    cases += [Case(f"{form} | {call}", FORMS[form], call) for call in CALLS for form in ("text", "list")]
    cases += [Case(f"{form} built with {b}", FORMS[form], build=b) for b in BUILDS
              for form in ("text", "list", "generator")]  # fmt: skip
    cases += [Case(f"{method} {form}", FORMS[form], method=method, build=labels)
              for method in ("predict", "transform") for form in ("text", "list")]  # fmt: skip
    cases += [
        Case("no labels", FORMS["text"]),
        Case("labels by position", lambda: Args("the market", LABELS)),
        Case("labels by position, several texts", lambda: Args(["the market", "a"], "market, city")),
        Case("labels twice", lambda: Args("the market", LABELS, candidate_labels=LABELS)),
        Case("two extra arguments", lambda: Args("the market", LABELS, True)),
        Case("everything by name", lambda: Args(sequences="the market", candidate_labels=LABELS)),
        Case("by a name of the base class", lambda: Args(inputs="the market", candidate_labels=LABELS)),
        Case("labels of the call over those of the pipeline", FORMS["text"], {"candidate_labels": "a, b"}, labels),
        Case("empty text", lambda: "", labels),
        Case("list with an empty text", lambda: ["a", ""], labels),
        Case("too long", lambda: LONG, labels),
        Case("a label that is too long", FORMS["text"], {"candidate_labels": [LONG, "a"]}),
        Case("a text and a label that are too long", lambda: LONG, {"candidate_labels": [LONG]}),
        Case("list of a tuple", lambda: [("a", "b")], labels),
        Case("list of a list of one", lambda: [["a"]], labels),
        Case("dict of a number", lambda: {0: "a"}, labels),
        Case("lone surrogate", lambda: "\ud800", labels),
        *(
            Case(f"text | {variant}", FORMS["text"], labels, variant=variant)
            for variant in ("no such output", "decoder")
        ),
        Case("too long | decoder", lambda: LONG, labels, variant="decoder"),
    ]
    return cases


CONTRACT = Contract(
    "zero-shot-classification",
    tuple(_cases()),
    describe=_describe,
    variants={"no such output": _relabelled({"entailment": 5}), "decoder": DECODER},
)
