"""Reads TOML with `tomllib`, and adds the line of each value, which `tomllib` does not report.

One pass over the tokens records the lines before `tomllib` reads the text. It also enforces limits: without them,
deep nesting makes `tomllib` raise RecursionError, keys with many parts take quadratic time, and a number with
thousands of digits raises an error without a line.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from modelenv.locks.line_numbers import Document, TextFormError
from modelenv.locks.values import Where, shorten, show

_DEEPEST = 8  # keys and indexes in the path to a value; a lock has five
_LONGEST_WORD = 500  # characters in a number
_STATEMENT = "`[[models]]`, `[models.facts]` or `key = value`"
_ITEM = "an item of the open list, or `]`"
_NEXT = "a comma between two values, or the closing bracket"

_TEXT = r"""(?:"(?:[^"\\\n]|\\.)*+"(?!")|'[^'\n]*+'(?!'))"""  # excludes the triple quotes of multi-line text
_PART = rf"(?:[A-Za-z0-9_-]++|{_TEXT})"
_KEY = rf"{_PART}(?: *+\. *+{_PART}){{0,{_DEEPEST - 1}}}"
_KINDS = {
    "newline": r"\n",
    "header": rf"^ *+\[\[?+ *+{_KEY} *+\]\]?+(?= *+(?:#|$))",
    "pair": rf"{_KEY} *+=",
    "opening": r"[\[{]",
    "closing": r"[\]}]",
    "comma": r",",
    "value": rf"""{_TEXT}|[^\s"'#\[\]{{}},=]++""",
    "stray": r"\S",
}
_TOKEN = re.compile("#.*+|" + "|".join(f"(?P<{kind}>{form})" for kind, form in _KINDS.items()), re.MULTILINE)
_PARTS = re.compile(_PART)
_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")  # in tomllib's messages


def read_toml(text: str) -> Document:
    """Return the values of a TOML text, and their lines.

    Raises:
        TextFormError: The text is not TOML, is nested too deeply, or contains a value that exceeds a limit.
    """
    reader = _Lines(text)
    try:
        reader.walk()
    except TextFormError as error:
        _values("\n".join([*text.split("\n")[: error.line - 1], ""]), is_cut=True)  # report an earlier mistake
        raise
    return Document(_values(text), reader.lines)


def _values(text: str, *, is_cut: bool = False) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = place["line"] if place else None
        if line is None and is_cut:
            return {}  # the text was cut inside of a list
        number = text.count("\n") + 1 if line is None else int(line)
        raise TextFormError(f"not valid TOML: {shorten(_PLACE.sub('', str(error)))}", line=number) from None


class _Lines:
    """Records the line of each value while walking the tokens. Checks the limits; `tomllib` checks the rest."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._number = 1
        self.lines: dict[Where, int] = {(): 1}
        self._table: Where = ()  # the path to the table of the last header
        self._last: dict[Where, int] = {}  # the index of the last `[[table]]` of each list
        self._open: list[tuple[Where, int | None]] = []  # lists with their current index, inline tables with None
        self._next: Where | None = None  # the path to the value that must come next

    def walk(self) -> None:
        """Record the line of each value. Raises `TextFormError` if a limit is exceeded."""
        for match in _TOKEN.finditer(self._text):
            self._token(match.lastgroup, match[0])
        if self._open:
            raise TextFormError(
                "a list is not closed", line=self._number, expected="`]`", found="the end of the file"
            )

    def _token(self, kind: str | None, token: str) -> None:
        match kind:
            case "newline":
                self._number += 1
            case "header":
                self._enter(token)
            case "pair":
                self._next = self._way_of_pair(token)
            case "value":
                self._take(token)
            case "opening":
                self._opening(token)
            case "comma" if self._open:
                self._comma()
            case "closing" if self._open:
                self._open.pop()
                self._next = None
            case "stray":
                raise self._error("invalid value", "quoted text that ends on the same line")

    def _enter(self, header: str) -> None:
        if self._open:
            raise self._error("invalid line", _ITEM)
        way: Where = ()
        for part in _parts(header):
            way = (*way, self._last[way], part) if way in self._last else (*way, part)
        if header.lstrip().startswith("[["):
            self._last[way] = self._last.get(way, -1) + 1
            way = (*way, self._last[way])
        self._table = way
        self._note(way)

    def _way_of_pair(self, pair: str) -> Where:
        table, index = self._open[-1] if self._open else (self._table, None)
        if index is not None:
            raise self._error("invalid line", _ITEM)
        if self._next is not None:
            raise self._error("invalid line", "one `=` between a key and its value")
        return (*table, *_parts(pair))

    def _take(self, token: str) -> Where:
        way, self._next = self._next, None
        if way is None:
            raise self._error("invalid line", _NEXT if self._open else _STATEMENT)
        if len(way) > _DEEPEST:
            raise self._error("nested too deeply", f"at most {_DEEPEST} levels")
        if len(token) > _LONGEST_WORD and token[0] not in "\"'":
            raise self._error("invalid value", f"a number with at most {_LONGEST_WORD} characters")
        self._note(way)
        return way

    def _note(self, way: Where) -> None:
        if way in self.lines:
            raise self._error("duplicate key", "each key once")
        self.lines[way] = self._number

    def _opening(self, bracket: str) -> None:
        way = self._take(bracket)
        if bracket == "[":
            self._next = (*way, 0)
        self._open.append((way, 0 if bracket == "[" else None))

    def _comma(self) -> None:
        way, index = self._open[-1]
        if index is not None:
            self._next = (*way, index + 1)
            self._open[-1] = (way, index + 1)

    def _error(self, what: str, expected: str) -> TextFormError:
        line = self._text.split("\n")[self._number - 1]
        return TextFormError(what, line=self._number, expected=expected, found=show(line.strip()))


def _parts(key: str) -> list[str]:
    return [part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(key)]
