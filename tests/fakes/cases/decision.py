"""The call forms of the decision contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe
from .inputs import BATCHES, dataset, wrong_inputs

NOUL = {"type": "noul", "instructions": "Is a refund requested?"}
CHOICE = {"type": "choice", "instructions": "What is the tone?", "criteria": {"calm": "A polite text", "angry": None}}
SCORE = {"type": "score", "instructions": "How urgent is it?", "criteria": ["Can wait", "This week", "Today"]}


def request(state: Any = "I was charged twice.", **questions: Any) -> dict[str, Any]:
    return {"state": state, "questions": questions}


INPUTS: dict[str, Any] = {
    "noul": lambda: request(refund=NOUL),
    "choice": lambda: request(tone=CHOICE),
    "score": lambda: request(urgency=SCORE),
    "several": lambda: request(refund=NOUL, tone=CHOICE, urgency=SCORE),
    "json": lambda: json.dumps(request(refund=NOUL, tone=CHOICE)),
    "list": lambda: [request(refund=NOUL), request(tone=CHOICE)],
    "list of json": lambda: [json.dumps(request(refund=NOUL))],
    "tuple": lambda: (request(refund=NOUL),),
    "generator": lambda: (item for item in [request(refund=NOUL), request(urgency=SCORE)]),
    "dataset": lambda: dataset([request(refund=NOUL)]),
    "state of a dict": lambda: request({"text": "a", "more": [1, None]}, refund=NOUL),
    "state of a list": lambda: request(["a", "b"], refund=NOUL),
    "state of a number": lambda: request(1, refund=NOUL),
    "no state": lambda: request(None, refund=NOUL),
    "empty state": lambda: request("", refund=NOUL),
    "noul with criteria": lambda: request(refund={**NOUL, "criteria": {"true": "yes", "false": "no"}}),
    "noul with one criterion": lambda: request(refund={**NOUL, "criteria": {"true": "yes"}}),
    "noul with empty criteria": lambda: request(refund={**NOUL, "criteria": {}}),
    "noul with other criteria": lambda: request(refund={**NOUL, "criteria": {"maybe": "yes"}}),
    "noul with a list": lambda: request(refund={**NOUL, "criteria": ["yes"]}),
    "without instructions": lambda: request(refund={"type": "noul"}),
    "instructions of a dict": lambda: request(refund={"type": "noul", "instructions": {"ask": "a"}}),
    "instructions of a number": lambda: request(refund={"type": "noul", "instructions": 1}),
    "one choice": lambda: request(tone={"type": "choice", "criteria": {"calm": None}}),
    "choice of 27": lambda: request(tone={"type": "choice", "criteria": {str(n): None for n in range(27)}}),
    "choice of 26": lambda: request(tone={"type": "choice", "criteria": {str(n): None for n in range(26)}}),
    "choice of a list": lambda: request(tone={"type": "choice", "criteria": ["calm", "angry"]}),
    "choice of nothing": lambda: request(tone={"type": "choice", "criteria": {}}),
    "choice without criteria": lambda: request(tone={"type": "choice"}),
    "choice of numbers": lambda: request(tone={"type": "choice", "criteria": {1: "a", 2: "b"}}),
    "choice described by numbers": lambda: request(tone={"type": "choice", "criteria": {"a": 1}}),
    "score of one": lambda: request(urgency={"type": "score", "criteria": ["Today"]}),
    "score of dicts": lambda: request(urgency={"type": "score", "criteria": [{"a": 1}, {"b": 2}]}),
    "score of None": lambda: request(urgency={"type": "score", "criteria": [None, "a"]}),
    "score of a dict": lambda: request(urgency={"type": "score", "criteria": {"a": "b"}}),
    "score of nothing": lambda: request(urgency={"type": "score", "criteria": []}),
    "unknown type": lambda: request(refund={"type": "maybe"}),
    "no type": lambda: request(refund={"instructions": "a"}),
    "unknown key": lambda: request(refund={**NOUL, "colour": "red"}),
    "question of a text": lambda: request(refund="Is it?"),
    "no questions": request,
    "questions of a list": lambda: {"state": "a", "questions": [NOUL]},
    "without questions": lambda: {"state": "a"},
    "without state": lambda: {"questions": {"refund": NOUL}},
    "more keys": lambda: {**request(refund=NOUL), "id": 1},
    "no assets": lambda: {**request(refund=NOUL), "assets": {}},
    "assets": lambda: {**request(refund=NOUL), "assets": {"img-1": "a.png"}},
    "one right and one wrong": lambda: request(refund=NOUL, tone={"type": "choice"}),
    "text that is no json": lambda: "I was charged twice.",
    "json of a list": lambda: "[]",
}
CALLS: list[dict[str, Any]] = [{"unknown": 1}, {"top_k": 1}, {"questions": {"refund": NOUL}}, *BATCHES]


def _describe(answer: Any, case: Case) -> str:
    def override(value: Any) -> str | None:
        if type(value) is float:
            return "float"
        if isinstance(value, dict) and "probabilities" in value:
            shares = list(value["probabilities"].values())
            laws = f"sums to 1={abs(sum(shares) - 1) < 1e-5} sure={0 <= value['confidence'] <= 1}"
            if value["type"] == "choice":
                laws += f" best={value['probabilities'][value['choice']] == max(shares)}"
            shown = describe({**value, "probabilities": tuple(value["probabilities"])})
            return f"{shown} {laws} {list(value['probabilities'])}"
        return None

    return describe(answer, override)


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _with_settings(folder: Path) -> None:
    settings = {"labels": {"choice": ["A", "B"]}, "noul_options": ["false", "true"], "temperature": {"noul": 2.0}}
    (folder / "decision.json").write_text(json.dumps(settings), encoding="utf-8")


def _cases() -> list[Case]:
    cases = [Case(name, make) for name, make in {**wrong_inputs(), **INPUTS}.items()]
    cases += [
        Case(f"{form} | {call}", INPUTS[form], call) for call in CALLS for form in ("noul", "list", "generator")
    ]
    cases += [
        Case(f"{variant} | {form}", INPUTS[form], variant=variant)
        for variant in ("no template", "settings")
        for form in ("noul", "several", "choice of 26", "score")
    ]
    cases += [
        Case(f"{method} {form}", INPUTS[form], method=method)
        for method in ("predict", "transform")
        for form in ("noul", "list")
    ]
    cases += [
        Case("built with an unknown argument", INPUTS["noul"], build={"unknown": 1}),
        Case("built with a batch size", INPUTS["list"], build={"batch_size": 2}),
        Case("two by position", lambda: Args(request(refund=NOUL), 1)),
        Case("by name", lambda: Args(inputs=request(refund=NOUL))),
    ]
    return cases


CONTRACT = Contract(
    "decision",
    tuple(_cases()),
    describe=_describe,
    variants={"no template": _without_template, "settings": _with_settings},
)
