"""The line of every value in a TOML text, which tomllib does not tell; and what tomllib should not be given."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from modelenv.locked import Where

# tomllib recurses into nested values, takes quadratic time for a key of many parts, and Python refuses to read
# numbers of more than 4300 digits. A lock has nothing of the kind.
_DEEPEST = 32
_MOST_PARTS = 32
_LONGEST_WORD = 1000

# The parts of any TOML. Every branch for a string matches whatever follows its quote, or a wrong text would be
# scanned again from each of its quotes.
_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<text>\"{3}(?:[^"\\]|\\.|"(?!""))*+\"{0,5}
           | '{3}(?:[^']|'(?!''))*+'{0,5}
           | "(?:[^"\\\n]|\\[^\n])*+"?
           | '[^'\n]*'?)
  | (?P<newline>\n)
  | (?P<mark>[\[\]{},=.])
  | (?P<word>[^\s\[\]{},=.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match.group()
        if kind != "comment":
            yield _Token(kind, token, line)
        if kind in ("newline", "text"):
            line += token.count("\n")


def find_excess(text: str) -> tuple[int, str] | None:
    """Return the line of, and what is, the first thing in `text` that tomllib would choke on, or None."""
    depth = points = 0
    for kind, part, line in _tokens(text):
        if kind == "mark":
            depth += _deeper(part)
            points = points + 1 if part == "." else 0
        elif kind == "newline":
            points = 0
        if depth > _DEEPEST:
            return line, f"more than {_DEEPEST} values within each other"
        if points >= _MOST_PARTS:
            return line, f"a key of more than {_MOST_PARTS} parts"
        if kind == "word" and len(part) > _LONGEST_WORD:
            return line, f"a word of more than {_LONGEST_WORD} characters"
    return None


def statement_line(text: str, line: int) -> int:
    """Return the line on which the statement starts that `line` is part of."""
    start, depth, first = 1, 0, True
    for kind, part, at in _tokens(text):
        if at > line:
            break
        if kind != "newline" and first and depth == 0:
            start = at
        first = kind == "newline"
        if kind == "mark":
            depth += _deeper(part)
    return start


def lines_of(text: str) -> Mapping[Where, int]:
    """Return the line of every value in `text`, which tomllib has read, by the way to it from the document."""
    return _Lines(text).lines


def _deeper(mark: str) -> int:
    return (mark in "[{") - (mark in "]}")


class _Lines:
    """The line of every value in a text that tomllib has read, by the way to the value."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Where, int] = {}
        self._tokens = [*_tokens(text), _Token("newline", "", 0), _Token("end", "", 0)]
        self._at = 0
        self._lengths: dict[Where, int] = {}  # of the arrays of tables
        self._read()

    def _read(self) -> None:
        table: Where = ()
        while (token := self._peek()).kind != "end":
            if token.kind == "newline":
                self._next()
            elif token.text == "[" and token.kind == "mark":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Where:
        line = self._next().line
        is_array = self._take("[")
        *parents, last = self._key()
        while self._take("]"):
            pass
        table: Where = ()
        for part in parents:
            table = self._latest((*table, part))
            self.lines.setdefault(table, line)
        table = (*table, last)
        self.lines.setdefault(table, line)
        if is_array:
            self._lengths[table] = self._lengths.get(table, 0) + 1
        table = self._latest(table)
        self.lines.setdefault(table, line)
        return table

    def _latest(self, table: Where) -> Where:
        """Return the last table of an array of tables, or the table itself."""
        return (*table, self._lengths[table] - 1) if table in self._lengths else table

    def _pair(self, table: Where) -> None:
        line = self._peek().line
        for part in self._key():
            table = (*table, part)
            self.lines.setdefault(table, line)
        self._take("=")
        self._value(table)

    def _value(self, where: Where) -> None:
        self.lines.setdefault(where, self._peek().line)
        if self._take("["):
            index = 0
            while not self._take("]"):
                if not self._separator():
                    self._value((*where, index))
                    index += 1
        elif self._take("{"):
            while not self._take("}"):
                if not self._separator():
                    self._pair(where)
        else:
            while (token := self._peek()).kind != "newline" and not (token.kind == "mark" and token.text in ",]}"):
                self._next()  # a date or a number may consist of several tokens

    def _key(self) -> list[str]:
        parts = [self._part()]
        while self._take("."):
            parts.append(self._part())
        return parts

    def _part(self) -> str:
        token = self._next()
        return next(iter(tomllib.loads(f"{token.text} = 0"))) if token.kind == "text" else token.text

    def _separator(self) -> bool:
        if self._peek().kind == "newline":
            self._next()
            return True
        return self._take(",")

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, mark: str) -> bool:
        token = self._peek()
        taken = token.kind == "mark" and token.text == mark
        self._at += taken
        return taken
