"""Damages a text at random, and checks the result of its reader."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import yaml

from modelenv.errors import LockfileError
from modelenv.locks.line_numbers import Document, Origin
from modelenv.locks.project_lock import format_lockfile, parse_lockfile
from modelenv.locks.toml_reader import read_toml
from modelenv.locks.values import Where
from modelenv.volume.metadata import format_metadata, parse_metadata
from modelenv.volume.yaml_reader import read_yaml

from .examples import LOCK_TEXT, METADATA_TEXT

PLACE = "some/file"
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same data, ten times as fast
SNIPPETS = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        "\0", "\r\n", "\ufeff", "\u2028", "\x85", "\t", "\ud800", "\n", " ", "  ", "#", '"', "'", '"""', "\\",
        "\\u0000", "\\uD800", "\\U00110000", "\\x41", "[", "]", "[[", "]]", "{", "}", ",", "=", " = ", ":", ": ",
        "- ", "?", "|", ">", "&a ", "*a", "!!python/object:os.system ", "!!int ", "<<: ", "---\n", "...\n",
        "%YAML 1.1\n", "nan", "inf", "-", "1e999", "1.0e+999", "9" * 30, "9" * 5000, "0x10", "0o7", "1_000",
        "1979-05-27", "12:30", "true", "null", "~", "no", "/", "..", "/../", ".", "./", "a.b.c", "[" * 2000,
        "{a=" * 2000, "- " * 2000, "a." * 2000, "version", "version = 2\n", "version: 2\n", "[[models]]\n",
        "[models.facts]\n", "[models]\n", "models: []\n", "models = []\n", '{ path = "x", size = 1 },\n',
        "size = 1\n", "      size: 1\n", '"facts": {}\n', "facts:\n",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """One of the two formats.

    Attributes:
        example: A valid text.
        parse: Returns the value of a text. Its second argument is the place, for errors.
        write: Returns the text of a value.
        read: Returns the data of a text with its lines.
        other_reader: Returns the data of a text, according to another library.
    """

    example: bytes
    parse: Callable[[str, str], Any]
    write: Callable[[Any], str]
    read: Callable[[str], Document]
    other_reader: Callable[[str], Any]


FORMATS = {
    "lock": Format(LOCK_TEXT.encode(), parse_lockfile, format_lockfile, read_toml, tomllib.loads),
    "metadata": Format(
        METADATA_TEXT.encode(),
        parse_metadata,
        format_metadata,
        read_yaml,
        lambda text: yaml.load(text, _YAML_LOADER),
    ),
}


def damage(content: bytes, random: Random) -> bytes:
    """Return `content` with one to four random changes to its bytes, its lines or its values."""
    for _ in range(random.randint(1, 4)):
        content = random.choice(_CHANGES)(content, random)
    return content


def check(form: Format, content: bytes) -> bool:
    """Read `content`, and return whether it was accepted.

    The value of an accepted text must be the same after it was written and read again, another library must read the
    same data, and each string must be on its line. Any other text must raise a `LockfileError` that names a line.

    Raises:
        AssertionError: One of these checks failed. Other errors of the reader are not caught.
    """
    try:
        text = Origin(PLACE, "do something").decode(content)
        value = form.parse(text, PLACE)
    except LockfileError as error:
        _check_message(str(error), content.count(b"\n") + 1)
        return False
    again = form.write(value)
    assert form.parse(again, PLACE) == value
    assert form.write(form.parse(again, PLACE)) == again
    document = form.read(text)
    assert repr(document.value) == repr(form.other_reader(text))
    lines = text.split("\n")
    for where, value in _texts(document.value):
        line = lines[document.lines[where] - 1]
        assert value in line or "\\" in line or "''" in line, (where, line)
    return True


def _texts(value: Any, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Yield every string in a value, with its path."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*where, key))


def _check_message(message: str, lines: int) -> None:
    place = re.match(rf"{PLACE}:(\d+): .", message)
    assert place is not None, message
    assert 1 <= int(place[1]) <= lines, message
    assert len(message) < 1000, message


def _flip(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) or 1)
    return (
        content[:at] + bytes(byte ^ (1 << random.randrange(8)) for byte in content[at : at + 1]) + content[at + 1 :]
    )


def _overwrite(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + random.randbytes(random.randint(1, 3)) + content[at + 1 :]


def _insert(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + random.choice(SNIPPETS) + content[at:]


def _cut(content: bytes, random: Random) -> bytes:
    start, end = sorted(random.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[min(end, start + random.choice((1, 8, 100, len(content)))) :]


def _repeat(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + content[start : start + random.randint(1, 100)] + content[start:]


def _truncate(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _change_lines(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case 3:
            lines[one] = b" " * random.randint(1, 4) + lines[one]
        case 4:
            lines[one] = lines[one].removeprefix(b"  ")
        case _:
            lines[one:one] = lines[other : other + random.randint(1, 8)]
    return b"".join(lines)


def _change_value(content: bytes, random: Random) -> bytes:
    """Replace a value by another value of the text, or by a snippet."""
    values = list(re.finditer(rb'"[^"\n]*"|\b\d+\b|\btrue\b|\bfalse\b', content))
    if not values:
        return content
    place = random.choice(values)
    replacement = random.choice(
        (random.choice(values).group(), random.choice(SNIPPETS), b'"%d"' % random.randrange(9))
    )
    return content[: place.start()] + replacement + content[place.end() :]


_CHANGES = (
    _flip,
    _overwrite,
    _insert,
    _cut,
    _repeat,
    _truncate,
    _change_lines,
    _change_lines,
    _change_value,
    _change_value,
)
