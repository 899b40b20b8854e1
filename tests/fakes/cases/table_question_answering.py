"""The call forms of the table-question-answering contract."""

from __future__ import annotations

from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe
from .inputs import BATCHES, dataset

CITIES = {"city": ["paris", "london", "new york"], "year": ["1889", "1894", "1931"]}
QUERY = "how many for paris"
AGGREGATORS = ("NONE", "SUM", "AVERAGE", "COUNT")


def frame(table: dict[str, Any] = CITIES) -> Any:
    import pandas as pd

    return pd.DataFrame(table)


INPUTS: dict[str, Any] = {
    "dict": lambda: {"table": CITIES, "query": QUERY},
    "two by position": lambda: Args(CITIES, QUERY),
    "by name": lambda: Args(table=CITIES, query=QUERY),
    "a frame": lambda: Args(frame(), QUERY),
    "dict of a frame": lambda: {"table": frame(), "query": QUERY},
    "records": lambda: Args([{"city": "paris", "year": "1889"}, {"city": "london", "year": "1894"}], QUERY),
    "several queries": lambda: Args(CITIES, [QUERY, "what is the year"]),
    "one query in a list": lambda: Args(CITIES, [QUERY]),
    "dict of several queries": lambda: {"table": CITIES, "query": [QUERY, "the city"]},
    "list of one": lambda: [{"table": CITIES, "query": QUERY}],
    "list": lambda: [{"table": CITIES, "query": QUERY}, {"table": {"a": ["b"]}, "query": "a"}],
    "list of several queries": lambda: [{"table": CITIES, "query": [QUERY, "the city"]}] * 2,
    "dataset": lambda: dataset([{"table": frame(), "query": QUERY}] * 2),
    "dataset of one": lambda: dataset([{"table": frame(), "query": QUERY}]),
    "generator": lambda: ({"table": frame(), "query": QUERY} for _ in "ab"),
    "one cell": lambda: Args({"a": ["b"]}, "a"),
    "numbers as cells": lambda: Args({"a": [1, 2]}, "a"),
    "a cell without a value": lambda: Args({"a": ["b", None]}, "a"),
    "a number as a column": lambda: Args({1: ["b"]}, "a"),
    "rows of one cell": lambda: Args([["b"], ["c"]], "a"),
    "rows": lambda: Args([["b", "c"]], "a"),
    "one cell for a whole column": lambda: Args({"a": ["b", "c"], "d": "e"}, "a"),
    "text as a table": lambda: Args("a", "b"),
    "too many columns": lambda: Args({f"c{number}": ["b"] for number in range(40)}, "a"),
    "many rows": lambda: Args({"a": ["b"] * 100}, "a"),
    "tuple of queries": lambda: Args(CITIES, (QUERY, QUERY)),
    "a number among the queries": lambda: Args(CITIES, [QUERY, 5]),
    "no query": lambda: Args(CITIES, []),
    "empty dict": dict,
    "empty list": list,
    "None": lambda: None,
    "text": lambda: "the city",
    "number": lambda: 1,
    "tuple": lambda: ({"table": CITIES, "query": QUERY},),
    "list of texts": lambda: ["a"],
    "without query": lambda: {"table": CITIES},
    "without table": lambda: {"query": QUERY},
    "list without query": lambda: [{"table": CITIES}],
    "empty query": lambda: {"table": CITIES, "query": ""},
    "query by position that is empty": lambda: Args(CITIES, ""),
    "query of a number": lambda: Args(CITIES, 1),
    "query of numbers": lambda: Args(CITIES, [1]),
    "no queries": lambda: Args(CITIES, []),
    "empty table": lambda: Args({}, QUERY),
    "table of empty columns": lambda: Args({"a": []}, QUERY),
    "table of one column without cells": lambda: {"table": {"a": []}, "query": QUERY},
    "table of unequal columns": lambda: Args({"a": ["b"], "c": []}, QUERY),
    "table of scalars": lambda: Args({"a": "b"}, QUERY),
    "no input": Args,
    "three by position": lambda: Args(CITIES, QUERY, 1),
    "by a name of the base class": lambda: Args(inputs=CITIES),
}
CALLS: list[dict[str, Any]] = [
    *({"sequential": value} for value in (True, False)),
    *({"padding": value} for value in (True, "max_length", "longest", False, "bogus")),
    *({"truncation": value} for value in (True, "drop_rows_to_fit", False, "bogus")),
    {"unknown": 1},
    {"top_k": 1},
    *BATCHES,
]


def _describe(answer: Any, case: Case) -> str:
    def override(value: Any) -> str | None:
        if not isinstance(value, dict) or "coordinates" not in value:
            return None
        pairs = {describe(pair) for pair in value["coordinates"]}
        text = ", ".join(value["cells"])
        prefix = value["answer"].removesuffix(text)
        known = value["aggregator"] in AGGREGATORS
        laws = f"{pairs <= {'(2 x int)'}} {len(value['cells']) == len(value['coordinates'])} {known}"
        stated = prefix == ("" if value["aggregator"] == "NONE" else value["aggregator"] + " > ")
        return f"{list(value)} {type(value['cells']).__name__} {laws} {stated}"

    return describe(answer, override)


def _cases() -> list[Case]:
    cases = [Case(name, make) for name, make in INPUTS.items()]
    cases += [
        Case(f"{form} | {call}", INPUTS[form], call) for call in CALLS for form in ("dict", "list", "several queries")
    ]
    cases += [
        Case(f"{form} | {call}", INPUTS[form], call)
        for form in ("dict", "list", "list of several queries", "several queries", "dict of several queries")
        for call in ({"sequential": value, "batch_size": size} for value in (True, False) for size in (2, 3))
    ]
    cases += [
        Case(f"one query and several in a batch | {value}", lambda: [{"table": CITIES, "query": QUERY},
             {"table": CITIES, "query": [QUERY, QUERY]}], {"sequential": value, "batch_size": 2})
        for value in (True, False)
    ]  # fmt: skip
    cases += [Case(f"built with {build}", INPUTS["list"], build=build)
              for build in ({"batch_size": 2}, {"sequential": True}, {"unknown": 1})]  # fmt: skip
    cases += [Case(f"{method} {form}", INPUTS[form], method=method)
              for method in ("predict", "transform") for form in ("dict", "list")]  # fmt: skip
    return cases


CONTRACT = Contract("table-question-answering", tuple(_cases()), describe=_describe, needs="pandas")
