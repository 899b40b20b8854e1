"""YAML in one form: blocks, two spaces to a level, text in double quotes; with the line of every value.

The quotes keep every reader from taking a commit for a number or a label `no` for false. The form is read by its
lines, not with a library for all of YAML: a pod reads its metadata at every start, this is ten times as fast as
PyYAML without its C part, no text can make it slow, and what is no part of the form (anchors, aliases, tags, merge
keys, flow collections, a key twice) is an error here, not a surprise later. PyYAML reads every such text as the same
data.
"""

from __future__ import annotations

import re
from typing import Any

from modelenv.locks.scalars import read_scalar
from modelenv.locks.text import check_version
from modelenv.locks.values import LockedValueError, Where, show

_FORM = "`key: value`, `key:` or `- ` and a value; text in double quotes, two spaces to a level, nothing behind"
_DEEPEST = 8  # levels; ours has four
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,63}):(?: (.+))?")


_Line = tuple[int, int, str]  # its number, its indent, what it holds


class BlockReader:
    """Reads the one form of YAML, and remembers the line of every value by the way to it.

    Attributes:
        lines: the line of each value by the way to it from the document, and of each wrong line by the way in its
            error.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[Where, int] = {}
        self._rest = _lines(text)[::-1]  # the next one last
        self._number = 1  # of the line that was read last

    def read(self) -> Any:
        """Return the document as plain values.

        Raises:
            LockedValueError: it has not this form.
        """
        try:
            return self._document()
        except LockedValueError as error:
            error.where = ("line", self._number)
            self.lines[error.where] = self._number
            raise

    def _document(self) -> Any:
        if not self._rest:
            raise LockedValueError("the file is empty", expected="`version: 1` and `models:`", found="no key")
        self._number, _, first = self._rest[-1]
        if first.startswith("version: "):
            check_version(first.removeprefix("version: "))  # before the rest, which may have another form
        document = self._block((), 0)
        if self._rest:
            raise self._wrong_form(self._rest[-1])
        return document

    def _block(self, where: Where, indent: int) -> Any:
        number, found, text = self._rest[-1]
        if found != indent or len(where) > _DEEPEST:
            raise self._wrong_form(self._rest[-1])
        self.lines.setdefault(where, number)
        return self._list(where, indent) if text.startswith("- ") else self._table(where, indent)

    def _list(self, where: Where, indent: int) -> list[Any]:
        items: list[Any] = []
        while self._rest and self._rest[-1][1] == indent and self._rest[-1][2].startswith("- "):
            self._number, _, text = self._rest.pop()
            way = (*where, len(items))
            self.lines[way] = self._number
            if _KEY.fullmatch(text, 2):
                self._rest.append((self._number, indent + 2, text[2:]))
                items.append(self._block(way, indent + 2))
            else:
                items.append(read_scalar(text[2:]))
        return items

    def _table(self, where: Where, indent: int) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while self._rest and self._rest[-1][1] == indent and not self._rest[-1][2].startswith("- "):
            line = self._rest.pop()
            self._number, _, text = line
            entry = _KEY.fullmatch(text)
            if entry is None:
                raise self._wrong_form(line)
            key, value = entry.groups()
            if key in table:
                raise LockedValueError("the same key twice", expected="each key once", found=show(key))
            way = (*where, key)
            self.lines[way] = self._number
            if value is not None:
                table[key] = [] if value == "[]" else read_scalar(value)
            elif self._rest and self._rest[-1][1] > indent:
                table[key] = self._block(way, indent + 2)
            else:
                raise LockedValueError("a key without a value", expected=_FORM, found=show(text))
        return table

    def _wrong_form(self, line: _Line) -> LockedValueError:
        self._number, indent, text = line
        return LockedValueError("wrong form of a line", expected=_FORM, found=show(" " * indent + text))


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    for number, line in enumerate(text.split("\n"), 1):
        content = line.lstrip(" ")
        if content and not content.startswith("#"):
            lines.append((number, len(line) - len(content), content))
    return lines
