"""The fake of `TableQuestionAnsweringPipeline` (`transformers/pipelines/table_question_answering.py`, 5.24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.base import FakePipeline
from modelenv.fakes.base import _is_instance as is_instance
from modelenv.fakes.model.facts import ModelFacts
from modelenv.fakes.model.text_tokenizers import Layout
from modelenv.fakes.scripting import Pattern, Script, When

# The aggregators of google/tapas-base-finetuned-wtq, transformers' default model for the task.
_AGGREGATORS = ("NONE", "SUM", "AVERAGE", "COUNT")


_PADDING = (True, False, "longest", "max_length", "do_not_pad")
_TRUNCATION = (True, False, "drop_rows_to_fit", "do_not_truncate")
_ANY = float("inf")


@dataclass(frozen=True)
class _Table:
    columns: tuple[Any, ...]
    rows: tuple[tuple[Any, ...], ...]


class WhenAsked(When):
    """A rule for a model that answers questions about tables."""

    def __init__(self, script: Script, pattern: Pattern, facts: ModelFacts) -> None:
        super().__init__(script, pattern)
        self._facts = facts

    def returns(self, *coordinates: tuple[int, int], aggregator: str = "NONE") -> None:
        """Answer every matching question with the cells at `coordinates`: `(row, column)`, counted from 0.

        If the table of a call does not have such a cell, the call raises IndexError.

        Raises:
            ConfigurationError: A coordinate is not a pair of whole numbers, or the model has no such aggregator.
        """
        pairs = [pair for pair in coordinates if isinstance(pair, tuple) and [*map(type, pair)] == [int, int]]
        known = _aggregators(self._facts) or ("NONE",)
        if len(pairs) != len(coordinates) or not pairs or aggregator not in known:
            raise ConfigurationError(
                "the model cannot return this answer",
                model=self._facts.name,
                expected="pairs of (row, column), and one of the aggregators " + ", ".join(known),
                found=f"{coordinates!r}, {aggregator!r}",
                hint='write fake.when("stars").returns((0, 1), aggregator="SUM")',
            )
        self._add((list(coordinates), aggregator))


class FakeTableQuestionAnsweringPipeline(FakePipeline):
    """Answers a question with one cell of the table, chosen by a hash of the model's name, the table and question.

    It does not need pandas. A table can be a dict of columns, a list of dicts, or a DataFrame.
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
        """Start a rule for questions: `fake.when("How many stars").returns((0, 1))`.

        Raises:
            ConfigurationError: The pattern is not a text, a regular expression or a function.
        """
        return WhenAsked(self._script, pattern, self._facts)

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        results = self._run(_requests(*args, **kwargs), **kwargs)
        return results[0] if len(results) == 1 else results

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        # All other arguments are ignored.
        names = ("padding", "truncation", "sequential")
        return {name: kwargs[name] for name in names if kwargs.get(name) is not None}

    def _one(
        self, item: Any, /, *, padding: Any = True, truncation: Any = "drop_rows_to_fit", sequential: Any = False
    ) -> Any:
        table, query = item["table"], item["query"]
        table = table if isinstance(table, _Table) else _read_table(table)
        if not table.rows or not table.columns:
            raise ValueError("the table is empty")
        if query is None or query == "":
            raise ValueError("the question is empty")
        if self._facts.config.get("model_type") != "tapas":
            raise ValueError("only TAPAS models answer questions about tables: no other tokenizer accepts a table")
        queries = _read_queries(table, query)
        self._check_layout(table, queries, padding, truncation)
        answers = [self._answered(table, text) for text in queries]
        return answers if len(answers) > 1 else answers[0]

    def _check_layout(self, table: _Table, queries: Sequence[str], padding: Any, truncation: Any) -> None:
        if padding not in _PADDING:
            raise ValueError(f"padding must be a bool or one of {', '.join(_PADDING[2:])}, found {padding!r}")
        if truncation not in _TRUNCATION:
            raise ValueError(
                f"truncation must be a bool or one of {', '.join(_TRUNCATION[2:])}, found {truncation!r}"
            )
        config = self._facts.read_file("tokenizer_config.json")
        if len(table.columns) >= (config.get("max_column_id") or _ANY):
            raise ValueError(f"the table has {len(table.columns)} columns, more than the model supports")
        drops = truncation in (True, "drop_rows_to_fit")
        if not drops and len(table.rows) >= (config.get("max_row_id") or _ANY):
            raise ValueError(f"the table has {len(table.rows)} rows: pass truncation='drop_rows_to_fit'")
        tokenizer = self._tokenizer_of_model()
        rows = tokenizer.encode(queries, Layout(), add_special=False, is_split=False)
        if padding in (False, "do_not_pad") and len({len(row) for row in rows}) > 1:
            raise ValueError("questions of different lengths cannot become a tensor: pass padding=True")

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Raise the error of the real pipeline, which cannot join tables.

        With several questions about one table, it joins some inputs completely, but only the first row of others.
        """
        self._singly(items, **parameters)
        queries = [item["query"] if isinstance(item["query"], list) else [item["query"]] for item in items]
        widths = {self._width(item["table"], asked) for item, asked in zip(items, queries, strict=True)}
        if sum(map(len, queries)) > len(items) and (len(widths) == 1 or parameters.get("padding") == "max_length"):
            if parameters.get("sequential"):
                raise IndexError("sequential questions about a table cannot be in a batch: leave out batch_size")
            if len(items) > 1:
                raise RuntimeError(
                    "several tables with several questions cannot be in one batch: leave out batch_size"
                )
        raise AttributeError("a pipeline for tables does not support batches: leave out batch_size")

    def _width(self, table: Any, queries: Sequence[str]) -> int:
        """Return the number of tokens of a table and its longest question."""
        table = table if isinstance(table, _Table) else _read_table(table)
        cells = [text for row in (table.columns, *table.rows) for text in row if isinstance(text, str)]
        rows = self._tokenizer_of_model().encode([*queries, *cells], Layout(), add_special=False, is_split=False)
        widths = [len(row) for row in rows]
        return max(widths[: len(queries)]) + sum(widths[len(queries) :])

    def _answered(self, table: _Table, query: str) -> dict[str, Any]:
        written = repr((table.columns, table.rows))
        place, kind = seeded.units(2, self._facts.name, written, query)
        number = int(place * len(table.rows) * len(table.columns))
        coordinates = [divmod(number, len(table.columns))]
        aggregators = _aggregators(self._facts)
        aggregator = aggregators[int(kind * len(aggregators))] if aggregators else ""
        rule = self._script.find((query,)) if self._script.rules else None
        if rule is not None:
            coordinates, aggregator = list(rule[0]), rule[1] if aggregators else ""
        cells = [table.rows[row][column] for row, column in coordinates]
        text = ", ".join(cells)
        prefix = f"{aggregator} > " if aggregators and aggregator != aggregators[0] else ""
        answer: dict[str, Any] = {"answer": prefix + text, "coordinates": coordinates, "cells": cells}
        return {**answer, "aggregator": aggregator} if aggregator else answer


def _aggregators(facts: ModelFacts) -> tuple[str, ...]:
    labels = facts.config.get("aggregation_labels")
    if not labels or not facts.config.get("num_aggregation_labels"):
        return ()
    return tuple(labels[key] for key in sorted(labels, key=int))


def _requests(table: Any = None, query: Any = None, **_: Any) -> Any:
    """Return the list of tables with questions for these arguments of a call."""
    if table is None:
        raise ValueError("there is no table")
    if query is not None:
        return [{"table": _read_table(table), "query": query}]
    if isinstance(table, dict) and table.get("query") is not None and table.get("table") is not None:
        items: Sequence[Any] = [table]
    elif isinstance(table, list) and len(table) > 0:
        if not all(isinstance(item, dict) for item in table):
            raise ValueError("a list must contain dicts with a table and a query each")
        if table[0].get("query") is None or table[0].get("table") is None:
            raise ValueError(f"each dict must have a table and a query, found {sorted(map(str, table[0]))}")
        items = table
    elif is_instance(table, "torch.utils.data", "Dataset") or isinstance(table, GeneratorType):
        return table
    else:
        raise ValueError(f"without a query the input must be a dict or a list, found {type(table).__name__}")
    return [{**item, "table": _read_table(item["table"])} for item in items]


def _read_queries(table: _Table, query: Any) -> Sequence[str]:
    """Return the questions, after the checks of the tokenizer of TAPAS.

    Raises:
        ValueError: The input is not a question, or there is none.
        AttributeError: A column name, a cell or a further question is not a text.
        TypeError: The questions are in a tuple.
    """
    is_batch = isinstance(query, (list, tuple))
    if not isinstance(query, str) and not (is_batch and (not query or isinstance(query[0], str))):
        raise ValueError(f"a question must be a text or a list of texts, found {query!r}")
    queries = query if is_batch else [query]
    named = [name for name in table.columns if name]  # a name that is empty, 0 or None is not checked
    for text in (*named, *(cell for row in table.rows for cell in row), *queries):
        if not isinstance(text, str):
            raise AttributeError(  # noqa: TRY004 - the class of the real pipeline
                f"column names, cells and questions must be texts, found {text!r}"
            )
    if isinstance(query, tuple):
        raise TypeError("several questions must be in a list, found a tuple")
    if not queries:
        raise ValueError("there is no question")
    return queries


def _read_table(table: Any) -> _Table:
    """Read a DataFrame, or a table in a form that `pandas.DataFrame` accepts.

    Raises:
        ValueError: The table is None, or its columns have different lengths.
    """
    if table is None:
        raise ValueError("the table is None")
    if hasattr(table, "columns") and hasattr(table, "itertuples"):
        rows = tuple(tuple(row) for row in table.itertuples(index=False, name=None))
        return _Table(tuple(table.columns), rows)
    if isinstance(table, Mapping):
        return _Table(tuple(table), tuple(zip(*_columns(list(table.values())), strict=True)))
    if not isinstance(table, (list, tuple)):
        raise ValueError(  # noqa: TRY004 - the class of the real pipeline
            f"a table must be a dict of columns, a list of rows or a DataFrame, found {table!r}"
        )
    if table and all(isinstance(row, Mapping) for row in table):
        names = list(dict.fromkeys(name for row in table for name in row))
        return _Table(tuple(names), tuple(tuple(row.get(name) for name in names) for row in table))
    lines = [row if isinstance(row, (list, tuple)) else [row] for row in table]
    width = max(map(len, lines), default=0)
    return _Table(tuple(range(width)), tuple((*row, *[None] * (width - len(row))) for row in lines))


def _columns(values: list[Any]) -> list[list[Any]]:
    """Return the columns of a dict. A single value is repeated to the length of the other columns."""
    found = [list(column.values()) if isinstance(column, Mapping) else column for column in values]
    is_single = [isinstance(column, str) or not hasattr(column, "__iter__") for column in found]
    lengths = {len(list(column)) for column, single in zip(found, is_single, strict=True) if not single}
    if found and len(lengths) != 1:
        raise ValueError("the columns of a table must be lists of the same length")
    return [
        [column] * max(lengths) if single else list(column) for column, single in zip(found, is_single, strict=True)
    ]
