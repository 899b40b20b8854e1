"""TOML in one form: each key, and each file of a model, on a line of its own; with the line of every value.

The form is read by its lines, not with tomllib: that tells no lines of values, takes quadratic time for keys of many
parts, recurses without a bound, and lets errors of other kinds through. Here no text is slow, and what is no part of
the form (dates, dotted keys, a key twice) is an error of its line. tomllib reads every such text as the same data.
"""

from __future__ import annotations

import re
from typing import Any

from modelenv.locks.scalars import SCALAR, read_scalar
from modelenv.locks.text import check_version
from modelenv.locks.values import LockedValueError, Where, show

_FORM = "`[[models]]`, `[models.facts]`, `key = value`, or a file in braces with a comma behind"
_KEY = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
_PAIR = re.compile(rf"({_KEY}) = (.+)")
_INLINE_PAIR = re.compile(rf"({_KEY}) = ({SCALAR})(?:, (?!$)|$)")
_ITEM = re.compile(rf"({SCALAR})(?:, (?!$)|$)")
_OPEN = "["


class LineReader:
    """Reads the one form of TOML, and remembers the line of every value by the way to it.

    Attributes:
        lines: the line of each value by the way to it from the document, and of each wrong line by the way in its
            error.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[Where, int] = {}
        self._text = text
        self._document: dict[str, Any] = {}
        self._models: list[Any] = []
        self._table = self._document  # into which the next keys go, and the way to it
        self._way: Where = ()
        self._tables: list[Any] | None = None  # the list that is open, and the way to it
        self._list_way: Where = ()

    def read(self) -> dict[str, Any]:
        """Return the document as plain values.

        Raises:
            LockedValueError: it has not this form.
        """
        number = 1
        for number, line in enumerate(self._text.split("\n"), 1):
            try:
                text = line.strip(" ")
                if text and not text.startswith("#"):
                    self._line(number, text)
            except LockedValueError as error:
                raise self._at(number, error) from None
        if self._tables is not None:
            raise self._at(number, LockedValueError("the list is not closed", expected="`]`", found="the end"))
        return self._document

    def _line(self, number: int, text: str) -> None:
        if self._tables is not None:
            self._item_line(self._tables, number, text)
        elif text == "[[models]]":
            self._table, self._way = {}, ("models", len(self._models))
            self._models.append(self._table)
            self._document["models"] = self._models
            self.lines[self._way] = number
        elif text == "[models.facts]" and len(self._way) == 2:
            facts: dict[str, Any] = {}
            self._add("facts", facts, number)
            self._table, self._way = facts, (*self._way, "facts")
        else:
            self._pair(number, text)

    def _pair(self, number: int, text: str) -> None:
        pair = _PAIR.fullmatch(text)
        if pair is None:
            raise LockedValueError("wrong form of a line", expected=_FORM, found=show(text))
        key, value = pair.groups()
        if key == "models" and not self._way:
            raise LockedValueError("wrong form of the models", expected="`[[models]]`", found=show(text))
        if not self._document and key == "version":
            check_version(value)  # before the rest, which may have another form
        if value == _OPEN:
            self._tables, self._list_way = [], (*self._way, key)
            self._add(key, self._tables, number)
        elif value.startswith("[") and value.endswith("]"):
            self._add(key, _list(value[1:-1]), number)
        else:
            self._add(key, read_scalar(value), number)

    def _add(self, key: str, value: Any, number: int) -> None:
        if key in self._table:
            raise LockedValueError("the same key twice", expected="each key once", found=show(key))
        self._table[key] = value
        self.lines[*self._way, key] = number

    def _item_line(self, tables: list[Any], number: int, text: str) -> None:
        if text == "]":
            self._tables = None
            return
        if not (text.startswith("{ ") and text.endswith(" },")):
            expected = "a file in braces with a comma behind, or `]`"
            raise LockedValueError("wrong form of a line", expected=expected, found=show(text))
        self.lines[*self._list_way, len(tables)] = number
        tables.append(_inline_table(text[2:-3]))

    def _at(self, number: int, error: LockedValueError) -> LockedValueError:
        error.where = ("line", number)
        self.lines[error.where] = number
        return error


def _inline_table(text: str) -> dict[str, Any]:
    table: dict[str, Any] = {}
    position = 0
    while position < len(text):
        pair = _INLINE_PAIR.match(text, position)
        if pair is None:
            raise LockedValueError(
                "wrong form of a key and a value", expected="`key = value`", found=show(text[position:])
            )
        if pair[1] in table:
            raise LockedValueError("the same key twice", expected="each key once", found=show(pair[1]))
        table[pair[1]] = read_scalar(pair[2])
        position = pair.end()
    return table


def _list(text: str) -> list[Any]:
    items = []
    position = 0
    while position < len(text):
        item = _ITEM.match(text, position)
        if item is None:
            expected = "values with a comma and a space between them"
            raise LockedValueError("wrong form of a list", expected=expected, found=show(text[position:]))
        items.append(read_scalar(item[1]))
        position = item.end()
    return items
