"""Reads the text of a lock or of a volume's metadata. Every error names the file and the line: `path:line`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from modelenv.errors import LockfileError
from modelenv.locks.tables import VERSION, unknown_version
from modelenv.locks.text_file import LARGEST
from modelenv.locks.values import INVISIBLE, LockedValueError, Where, show

_FIRST_LINE = re.compile(r"^(?! *(?:#|$)).+", re.MULTILINE)
_VERSION_LINE = re.compile(r"version *[=:] *([0-9]{1,19}) *")
_UNSEEN = re.compile(rf"(?!\n)[{INVISIBLE}]")

Value = TypeVar("Value")


class TextFormError(LockedValueError):
    """The text does not have the right format. `line` is the number of the wrong line, counted from 1."""

    def __init__(self, what: str, *, line: int, expected: str | None = None, found: str | None = None) -> None:
        super().__init__(what, expected=expected, found=found)
        self.line = line


@dataclass(frozen=True)
class Document:
    """The plain values of a text.

    Attributes:
        value: The value of the whole text.
        lines: The line of each value, counted from 1, by the path of keys and indexes that leads to the value.
    """

    value: Any
    lines: Mapping[Where, int]

    def line_of(self, where: Where) -> int:
        """Return the line of a value, else the first line inside of it, else that of the nearest enclosing value."""
        while where not in self.lines:
            within = [line for path, line in self.lines.items() if path[: len(where)] == where]
            if within:
                return min(within)
            where = where[:-1]
        return self.lines[where]


@dataclass(frozen=True)
class Origin:
    """The origin of a text, for errors.

    Attributes:
        path: The file that contains the text.
        hint: What to do if the text is invalid.
    """

    path: Path | str
    hint: str

    def error(
        self, line: int | None, what: str, *,
        hint: str | None = None, expected: str | None = None, found: str | None = None,
    ) -> LockfileError:  # fmt: skip
        """Return the error for a line, counted from 1, or for the whole file if `line` is None."""
        place = f"{self.path}" if line is None else f"{self.path}:{line}"
        return LockfileError(f"{place}: {what}", expected=expected, found=found, hint=hint or self.hint)

    def read(self) -> str:
        """Return the file's text without validating it.

        Raises:
            LockfileError: The file cannot be read, is not a regular file, is too large, or is not UTF-8.
        """
        path = Path(self.path)
        try:
            with _open(path) as file:
                content = file.read(LARGEST + 1)
        except (OSError, ValueError) as error:  # ValueError: the path contains NUL
            raise self.error(None, "cannot be read", found=getattr(error, "strerror", None) or str(error)) from None
        return self.decode(content)

    def decode(self, content: bytes) -> str:
        """Decode a file's content without validating the text.

        Raises:
            LockfileError: The content is too large, or is not UTF-8.
        """
        if len(content) > LARGEST:
            raise self._too_large()
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            found = f"byte 0x{content[error.start]:02x}"
            raise self.error(line, "not valid UTF-8", expected="text in UTF-8", found=found) from None

    def parse(self, text: str, read: Callable[[str], Document], value_from: Callable[[Any], Value]) -> Value:
        """Parse a text.

        Args:
            text: The text of a lock or of a volume's metadata.
            read: The reader of the format. It raises `TextFormError` if the text does not have the format.
            value_from: The function that builds the result from the document's plain values.

        Raises:
            LockfileError: The text is invalid; the message starts with `path:line`.
        """
        self._check(text)
        self._check_version(text)  # before the rest, which can have another form in another version
        try:
            document = read(text)
        except TextFormError as error:
            raise self._error_from(error, error.line) from None
        try:
            return value_from(document.value)
        except LockedValueError as error:
            raise self._error_from(error, document.line_of(error.where)) from None

    def _error_from(self, error: LockedValueError, line: int) -> LockfileError:
        return self.error(line, error.what, expected=error.expected, found=error.found, hint=error.hint)

    def _check(self, text: str) -> None:
        if len(text) > LARGEST:
            raise self._too_large()
        if text.startswith("\ufeff"):
            raise self.error(1, "the file starts with a byte order mark", expected="UTF-8 without a byte order mark")
        unseen = _UNSEEN.search(text)
        if unseen is None:
            return
        hint = self.hint
        if unseen.group() == "\r":
            hint = f"exclude it from line-ending conversion (git: `eol=lf` in .gitattributes), or {self.hint}"
        raise self.error(
            text.count("\n", 0, unseen.start()) + 1,
            "the file contains an invisible character",
            expected="visible characters, spaces and line feeds",
            found=show(unseen.group()),
            hint=hint,
        )

    def _check_version(self, text: str) -> None:
        line = _FIRST_LINE.search(text)
        version = _VERSION_LINE.fullmatch(line[0]) if line else None
        if line and version and int(version[1]) != VERSION:
            raise self._error_from(unknown_version(int(version[1])), text.count("\n", 0, line.start()) + 1)

    def _too_large(self) -> LockfileError:
        return self.error(1, "the file is too large", expected=f"at most {LARGEST} bytes")


def _open(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")  # reading a pipe would block
    return path.open("rb")
