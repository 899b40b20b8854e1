"""Reads YAML with PyYAML, records the line of each value, and refuses features that a volume does not need.

It reads PyYAML's events instead of the nodes that `yaml.compose` builds from them: only the events show anchors and
tags, and reading can stop at the first value that is nested too deeply.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from modelenv.locks.line_numbers import Document, TextFormError
from modelenv.locks.values import Where, shorten, show

_DEEPEST = 8  # keys and indexes in the path to a value; a volume's metadata has five
# The numbers that every YAML library reads alike: no octal numbers, no dates, nothing like 12:30.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,400}(?:e[+-][0-9]{1,3})?)?")
_SCALAR = "text in double quotes, a number, true or false"


def read_yaml(text: str) -> Document:
    """Return the values of a YAML text, and their lines.

    Raises:
        TextFormError: The text is not one YAML document, has an anchor, an alias, a tag or a duplicate key, is nested
            too deeply, or has a value that is not quoted text on one line, a number, true or false.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)  # a build of PyYAML can lack the C loader
    try:
        reader = _Reader(text, loader)
        return Document(reader.document(), reader.lines)
    finally:
        loader.dispose()


class _Reader:
    """Builds the values of a text from the events of a loader."""

    def __init__(self, text: str, loader: Any) -> None:
        self.lines: dict[Where, int] = {}
        self._text = text
        self._last_line = text.count("\n") + 1
        self._loader = loader

    def document(self) -> Any:
        """Return the value of the only document."""
        self._event()  # the stream starts
        if isinstance(self._event(), yaml.StreamEndEvent):
            raise TextFormError("the file is empty", line=1, expected="`version: 1` and `models:`", found="no key")
        value = self._value((), self._event())
        self._event()  # the document ends
        event = self._event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._wrong(event, "a second document", "one document")
        return value

    def _event(self) -> Any:
        try:
            return self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            # A scanner reports a problem after the text that causes it, a parser reports it at that text.
            from_start = isinstance(error, yaml.scanner.ScannerError) and error.context_mark is not None
            mark: Any = error.context_mark if from_start else error.problem_mark
            problem, line = str(error.problem), self._line_of(mark)
        except (ValueError, OverflowError) as error:  # raised by the Python loader, for example for "\UFFFFFFFF"
            problem, line = str(error), self._loader.line + 1
        raise TextFormError(f"not valid YAML: {shorten(problem)}", line=line)

    def _value(self, where: Where, event: Any) -> Any:
        self._check_node(event)
        if isinstance(event, yaml.ScalarEvent):
            self.lines[where] = self._line_of(event.start_mark)
            return event.value if event.style in ("'", '"') else self._plain(event)
        self.lines.setdefault(where, self._line_of(event.start_mark))  # keeps the line of its key, if it has one
        if len(where) == _DEEPEST:
            raise self._wrong(event, "nested too deeply", f"at most {_DEEPEST} levels")
        return self._list(where) if isinstance(event, yaml.SequenceStartEvent) else self._table(where)

    def _list(self, where: Where) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._event(), yaml.SequenceEndEvent):
            items.append(self._value((*where, len(items)), event))
        return items

    def _table(self, where: Where) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while not isinstance(event := self._event(), yaml.MappingEndEvent):
            self._check_node(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._wrong(event, "invalid key", "a name")
            if event.value in table:
                raise self._wrong(event, "duplicate key", "each key once")
            path = (*where, event.value)
            self.lines[path] = self._line_of(event.start_mark)
            table[event.value] = self._value(path, self._event())
        return table

    def _check_node(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:  # an alias event has an anchor too
            raise self._wrong(event, "invalid value", "no anchor, no alias and no tag")
        if event.start_mark.line != event.end_mark.line:
            raise self._wrong(event, "invalid value", f"{_SCALAR}, on one line")

    def _plain(self, event: yaml.ScalarEvent) -> bool | int | float:
        text = event.value
        if text in ("true", "false"):
            return text == "true"
        if not _NUMBER.fullmatch(text):
            raise self._wrong(event, "invalid value", _SCALAR)
        return float(text) if "." in text else int(text)

    def _wrong(self, event: Any, what: str, expected: str) -> TextFormError:
        number = self._line_of(event.start_mark)
        found = event.value if isinstance(event, yaml.ScalarEvent) else self._text.split("\n")[number - 1].strip()
        return TextFormError(what, line=number, expected=expected, found=show(found))

    def _line_of(self, mark: Any) -> int:
        return min(int(mark.line) + 1, self._last_line)  # libyaml counts one more line at the end
