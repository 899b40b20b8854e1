"""YAML in one form: blocks, two spaces to a level, text in double quotes; with the line of every value.

The quotes keep every reader from taking a commit for a number or a label `no` for false. The form is read by its
lines, not with a library for all of YAML: a pod reads its metadata at every start, this is ten times as fast as
PyYAML without its C part, no text can make it slow, and what is no part of the form (anchors, aliases, tags, merge
keys, flow collections, a key twice) is an error here, not a surprise later.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from modelenv.locked import INVISIBLE, LockedValueError, Where, show
from modelenv.locktext import VERSION, unknown_version

_FORM = "`key: value`, `key:` or `- ` and a value; text in double quotes, two spaces to a level, nothing behind"
_DEEPEST = 8  # levels; ours has four
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,63}):(?: (.+))?")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,18}))(\.[0-9]{1,400}(?:e[+-][0-9]{1,3})?)?")
_TEXT = re.compile(rf'"((?:[^{INVISIBLE}"\\]|\\["\\]|\\u[0-9A-F]{{4}}|\\U[0-9A-F]{{8}})*+)"')
_ESCAPE = re.compile(r'\\(?:(["\\])|u(....)|U(........))')
_UNSEEN = re.compile(f"[{INVISIBLE}]")


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


class BlockReader:
    """Reads the one form of YAML, and remembers the line of every value by the way to it.

    Attributes:
        lines: the line of each value by the way to it from the document, and of each wrong line by the way in its
            error.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[Where, int] = {}
        self._text = text
        self._rest: list[_Line] = []  # the next one last

    def read(self) -> Any:
        """Return the document as plain values.

        Raises:
            LockedValueError: it has not this form.
        """
        lines = []
        for number, text in enumerate(self._text.split("\n"), 1):
            unseen = _UNSEEN.search(text)
            if unseen:
                raise self._wrong(number, f"{show(unseen.group())} in the line", "visible characters and spaces")
            line = text.lstrip(" ")
            if line and not line.startswith("#"):
                lines.append(_Line(number, len(text) - len(line), line))
        if not lines:
            raise self._wrong(1, "the file is empty", "`version: 1` and `models:`")
        self._check_version(lines[0])
        self._rest = lines[::-1]
        document = self._block((), 0)
        if self._rest:
            raise self._wrong_line(self._rest[-1])
        return document

    def _check_version(self, line: _Line) -> None:
        """Another version may have another form, so it is looked at before the rest."""
        version = re.fullmatch(r"version: ([0-9]{1,9})", line.text)
        if version and int(version[1]) != VERSION:
            self.lines["version",] = line.number
            raise unknown_version(int(version[1]))

    def _block(self, where: Where, indent: int) -> Any:
        line = self._rest[-1]
        if line.indent != indent or len(where) > _DEEPEST:
            raise self._wrong_line(line)
        self.lines.setdefault(where, line.number)
        if line.text.startswith("- "):
            return self._list(where, indent)
        return self._table(where, indent)

    def _list(self, where: Where, indent: int) -> list[Any]:
        items: list[Any] = []
        while self._rest and self._rest[-1].indent == indent and self._rest[-1].text.startswith("- "):
            number, _, text = self._rest.pop()
            way = (*where, len(items))
            self.lines[way] = number
            if _KEY.fullmatch(text, 2):
                self._rest.append(_Line(number, indent + 2, text[2:]))
                items.append(self._block(way, indent + 2))
            else:
                items.append(self._scalar(number, text[2:]))
        return items

    def _table(self, where: Where, indent: int) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while self._rest and self._rest[-1].indent == indent and not self._rest[-1].text.startswith("- "):
            line = self._rest.pop()
            entry = _KEY.fullmatch(line.text)
            if entry is None:
                raise self._wrong_line(line)
            key, value = entry.groups()
            if key in table:
                raise self._wrong(line.number, "the same key twice", "each key once", show(key))
            way = (*where, key)
            self.lines[way] = line.number
            if value is not None:
                table[key] = [] if value == "[]" else self._scalar(line.number, value)
            elif self._rest and self._rest[-1].indent > indent:
                table[key] = self._block(way, indent + 2)
            else:
                raise self._wrong(line.number, f"nothing below the key {show(key)}", _FORM)
        return table

    def _scalar(self, number: int, text: str) -> Any:
        if text in ("true", "false"):
            return text == "true"
        quoted = _TEXT.fullmatch(text)
        if quoted:
            return quoted[1] if "\\" not in quoted[1] else self._unescape(number, quoted[1])
        numeral = _NUMBER.fullmatch(text)
        if numeral:
            return int(text) if numeral[2] is None else float(text)
        raise self._wrong(
            number, "wrong form of a value", "text in double quotes, a number, true or false", show(text)
        )

    def _unescape(self, number: int, text: str) -> str:
        def character(match: re.Match[str]) -> str:
            code = match[2] or match[3]
            if code is None:
                return match[1]
            if int(code, 16) > 0x10FFFF:
                raise self._wrong(number, "no such character", "a code point of Unicode", show(match.group()))
            return chr(int(code, 16))

        return _ESCAPE.sub(character, text)

    def _wrong_line(self, line: _Line) -> LockedValueError:
        return self._wrong(line.number, "wrong form of a line", _FORM, show(" " * line.indent + line.text))

    def _wrong(self, number: int, what: str, expected: str, found: str | None = None) -> LockedValueError:
        way = ("line", number)
        self.lines[way] = number
        return LockedValueError(what, expected=expected, found=found, where=way)
