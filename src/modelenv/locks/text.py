"""The common text handling of the lock and a volume's metadata: limits, errors with a line, reading and writing."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from modelenv.errors import ConfigurationError, LockfileError, NoSpaceError
from modelenv.files.disk import write_atomically
from modelenv.locks.values import INVISIBLE, LockedFile, LockedModel, LockedValueError, Where, show, within

VERSION = 1
LARGEST = 16 * 2**20  # bytes: about 5000 models with a dozen files each
_FIRST_LINE = re.compile(r"^(?! *(?:#|$)).+", re.MULTILINE)
_VERSION_LINE = re.compile(r"version *[=:] *([0-9]{1,19}) *")
_UNSEEN = re.compile(rf"(?!\n)[{INVISIBLE}]")
_FILE_KEYS = ("path", "size", "sha256", "blob_id")
_MODEL_KEYS = ("alias", "repo", "commit", "files")
_OPTIONAL_KEYS = ("revision", "task", "patterns", "facts")

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
            raise self._error_from(_unknown_version(int(version[1])), text.count("\n", 0, line.start()) + 1)

    def _too_large(self) -> LockfileError:
        return self.error(1, "the file is too large", expected=f"at most {LARGEST} bytes")


def write_text(path: Path, text: str, *, mode: int | None = None) -> bool:
    """Write `text` atomically, and return whether the file changed. An unchanged file is not touched.

    Raises:
        NoSpaceError: The disk is full.
        ConfigurationError: The file cannot be written, or would be too large to be read again.
    """
    content = text.encode()
    if len(content) > LARGEST:
        raise ConfigurationError(
            "too many models for one file",
            expected=f"at most {LARGEST} bytes",
            found=f"{path}: {len(content)} bytes",
            hint="declare fewer models, or use patterns to lock fewer files of each",
        )
    try:
        with path.open("rb") as file:
            if file.read(LARGEST + 1) == content:
                return False
    except OSError:
        pass  # missing or unreadable: write it
    try:
        write_atomically(path, text, mode=mode, durable=True)
    except OSError as error:
        found = f"{path}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError("no space left to write this file", found=found, hint="free space there") from error
        raise ConfigurationError(
            "this file cannot be written",
            found=found,
            hint="run this where this user can write the file, or change its permissions",
        ) from error
    return True


def models_from(document: Any, model_from: Callable[[Any], Value]) -> tuple[Value, ...]:
    """Return the models of a document with the keys `version` and `models`.

    Raises:
        LockedValueError: A value in the document is invalid.
    """
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is int and version != VERSION:
        raise _unknown_version(version)
    table = take(document, ("version",), ("models",))
    if type(version) is not int:
        raise LockedValueError("wrong version", expected=f"{VERSION}", found=show(version), where=("version",))
    return _each(table, "models", model_from)


def _unknown_version(version: int) -> LockedValueError:
    return LockedValueError(
        "unknown version of the file",
        expected=f"version {VERSION}, the only one that this modelenv can read",
        found=f"version {show(version)}",
        hint="upgrade modelenv" if version > VERSION else None,
        where=("version",),
    )


def locked_model_from(table: Any, *other_keys: str) -> LockedModel:
    """Return the model of a table of plain values. The table must also have `other_keys`.

    Raises:
        LockedValueError: A value in the table is invalid.
    """
    table = take(table, (*_MODEL_KEYS, *other_keys), _OPTIONAL_KEYS)
    facts = table.get("facts", {})
    with within("facts"):
        take(facts, (), tuple(facts) if isinstance(facts, dict) else ())
    return LockedModel(
        alias=table["alias"],
        repo=table["repo"],
        revision=table.get("revision"),
        commit=table["commit"],
        task=table.get("task"),
        files=_each(table, "files", _file_from),
        patterns=_each(table, "patterns", lambda pattern: pattern),
        facts=facts,
    )


def take(table: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `table` after checking that it is a table with these keys.

    Raises:
        LockedValueError: `table` is not a table, or a key is missing or unknown.
    """
    if not isinstance(table, dict):
        raise LockedValueError("wrong kind of value", expected="a table", found=show(table))
    for key in table:
        if key not in required and key not in optional:
            known = ", ".join((*required, *optional))
            raise LockedValueError("unknown key", expected=f"one of {known}", found=show(key), where=(key,))
    for key in required:
        if key not in table:
            raise LockedValueError(f"the key {key!r} is missing", found=", ".join(table) or "no key")
    return table


def _open(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")  # reading a pipe would block
    return path.open("rb")


def _each(table: dict[str, Any], key: str, build: Callable[[Any], Value]) -> tuple[Value, ...]:
    items = table.get(key, [])
    if not isinstance(items, list):
        raise LockedValueError("wrong kind of value", expected="a list", found=show(items), where=(key,))
    built = []
    for index, item in enumerate(items):
        with within(key, index):
            built.append(build(item))
    return tuple(built)


def _file_from(table: Any) -> LockedFile:
    return LockedFile(**take(table, _FILE_KEYS))
