"""The fake of `TableQuestionAnsweringPipeline` (`transformers/pipelines/table_question_answering.py`, 5.23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import drawing
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.base import _is_instance as is_instance
from modelenv.fakes.facts import ModelFacts
from modelenv.fakes.scripting import Pattern, Script, When

# Those of google/tapas-base-finetuned-wtq, transformers' default model for the task.
_AGGREGATORS = ("NONE", "SUM", "AVERAGE", "COUNT")


@dataclass(frozen=True)
class _Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class WhenAsked(When):
    """A rule for a model that answers questions about tables."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, *coordinates: tuple[int, int], aggregator: str = "NONE") -> None:
        """Answer every matching question with the cells at `coordinates`: `(row, column)`, both from 0.

        A cell that a table does not have raises IndexError when the question is asked.

        Raises:
            ConfigurationError: a coordinate is no pair of whole numbers, or the model has no such aggregator.
        """
        pairs = [pair for pair in coordinates if isinstance(pair, tuple) and [*map(type, pair)] == [int, int]]
        known = _aggregators(self._facts) or ("NONE",)
        if len(pairs) != len(coordinates) or not pairs or aggregator not in known:
            raise ConfigurationError(
                "the model cannot answer with this",
                model=self._facts.name,
                expected="pairs of (row, column), and an aggregator of " + ", ".join(known),
                found=f"{coordinates!r}, {aggregator!r}",
                hint='write fake.when("stars").returns((0, 1), aggregator="SUM")',
            )
        self._add((list(coordinates), aggregator))


class FakeTableQuestionAnsweringPipeline(FakePipeline):
    """Answers a question with one cell of the table, drawn from a hash of all that is known.

    It does not need pandas: a table is a dict of columns, a list of dicts, or a DataFrame.
    """

    __slots__ = ()
    _pads_batches = True

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the aggregators of the task's default model."""
        return {
            "model_type": "tapas",
            "aggregation_labels": dict(enumerate(_AGGREGATORS)),
            "num_aggregation_labels": 4,
        }

    def when(self, pattern: Pattern) -> WhenAsked:
        """Begin a rule for questions: `fake.when("How many stars").returns((0, 1))`.

        Raises:
            ConfigurationError: the pattern is no text, regular expression or function.
        """
        return WhenAsked(self._script, pattern, self._facts)

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        results = self._run(_requests(*args, **kwargs), **kwargs)
        return results[0] if len(results) == 1 else results

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {}  # sequential, padding and truncation change no structure; all else is ignored

    def _one(self, item: Any, /, **_: Any) -> Any:
        table, query = item["table"], item["query"]
        table = table if isinstance(table, _Table) else _read_table(table)
        if not table.rows or not table.columns:
            raise ValueError("the table is empty")
        if query is None or query == "":
            raise ValueError("the question is empty")
        is_batch = isinstance(query, (list, tuple))
        if not isinstance(query, str) and not (is_batch and all(isinstance(text, str) for text in query)):
            raise ValueError(f"a question must be a text or a list of texts, found {query!r}")
        answers = [self._answered(table, text) for text in (query if is_batch else [query])]
        if not answers:
            raise ValueError("there is no question")
        return answers if len(answers) > 1 else answers[0]

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        self._singly(items, **parameters)
        # The real pipeline cannot join tables.
        raise AttributeError("a pipeline for tables makes no batches: leave batch_size out")

    def _answered(self, table: _Table, query: str) -> dict[str, Any]:
        written = repr((table.columns, table.rows))
        place, kind = drawing.units(2, self._facts.name, written, query)
        number = int(place * len(table.rows) * len(table.columns))
        coordinates = [divmod(number, len(table.columns))]
        aggregators = _aggregators(self._facts)
        aggregator = aggregators[int(kind * len(aggregators))] if aggregators else ""
        rule = self._script.find((query,)) if self._script.rules else None
        if rule is not None:
            coordinates, aggregator = list(rule[0]), rule[1] if aggregators else ""
        cells = [table.rows[row][column] for row, column in coordinates]
        text = ", ".join(cells)
        if self._facts.config.get("model_type") != "tapas":
            return {"answer": text}
        prefix = f"{aggregator} > " if aggregators and aggregator != aggregators[0] else ""
        answer: dict[str, Any] = {"answer": prefix + text, "coordinates": coordinates, "cells": cells}
        return {**answer, "aggregator": aggregator} if aggregator else answer


def _aggregators(facts: ModelFacts) -> tuple[str, ...]:
    labels = facts.config.get("aggregation_labels")
    if not labels or not facts.config.get("num_aggregation_labels"):
        return ()
    return tuple(labels[key] for key in sorted(labels, key=int))


def _requests(table: Any = None, query: Any = None, **_: Any) -> Any:
    """Return the list of tables with questions that these arguments of a call mean."""
    if table is None:
        raise ValueError("there is no table")
    if query is not None:
        return [{"table": _read_table(table), "query": query}]
    if isinstance(table, dict) and table.get("query") is not None and table.get("table") is not None:
        items: Sequence[Any] = [table]
    elif isinstance(table, list) and len(table) > 0:
        if not all(isinstance(item, dict) for item in table):
            raise ValueError("a list must be one of dicts with a table and a query each")
        if table[0].get("query") is None or table[0].get("table") is None:
            raise ValueError(f"each dict must have a table and a query, found {sorted(map(str, table[0]))}")
        items = table
    elif is_instance(table, "torch.utils.data", "Dataset") or isinstance(table, GeneratorType):
        return table
    else:
        raise ValueError(f"without a query the input must be a dict or a list, found {type(table).__name__}")
    return [{**item, "table": _read_table(item["table"])} for item in items]


def _read_table(table: Any) -> _Table:
    """Return a table given as `pandas.DataFrame` takes it, or as one.

    Raises:
        ValueError: it is None, or its columns are of different lengths.
    """
    if table is None:
        raise ValueError("the table is None")
    if hasattr(table, "columns") and hasattr(table, "itertuples"):
        rows = tuple(tuple(row) for row in table.itertuples(index=False, name=None))
        return _Table(tuple(map(str, table.columns)), rows)
    if isinstance(table, Mapping):
        columns = {str(name): list(_column(values)) for name, values in table.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise ValueError("all columns of a table must be of the same length")
        return _Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))
    if isinstance(table, (list, tuple)) and all(isinstance(row, Mapping) for row in table):
        names = list(dict.fromkeys(str(name) for row in table for name in row))
        return _Table(tuple(names), tuple(tuple(row.get(name) for name in names) for row in table))
    raise ValueError(f"a table must be a dict of columns, a list of dicts or a DataFrame, found {table!r}")


def _column(values: Any) -> Sequence[Any]:
    if isinstance(values, Mapping):
        return list(values.values())
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ValueError(f"a column must be a list of cells, found {values!r}")
    return list(values)
