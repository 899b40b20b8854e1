"""Text, numbers and truth values, in a form that TOML and every YAML read alike."""

from __future__ import annotations

import re
import sys

from modelenv.locks.values import INVISIBLE, Fact, LockedValueError, show

_ESCAPED = re.compile(f'[{INVISIBLE}"\\\\]')
_TEXT = rf'"(?:[^{INVISIBLE}"\\]|\\["\\]|\\u[0-9A-F]{{4}}|\\U[0-9A-F]{{8}})*+"'
_NUMBER = r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,400}(?:e[+-][0-9]{1,3})?)?"
SCALAR = rf"(?:{_TEXT}|{_NUMBER}|true|false)"
_SCALAR = re.compile(SCALAR)
_ESCAPE = re.compile(r'\\(?:(["\\])|u(....)|U(........))')


def read_scalar(text: str) -> str | bool | int | float:
    """Return the value that `scalar` wrote as `text`.

    Raises:
        LockedValueError: the text has another form.
    """
    if not _SCALAR.fullmatch(text):
        expected = "text in double quotes, a number, true or false"
        raise LockedValueError("wrong form of a value", expected=expected, found=show(text))
    if text.startswith('"'):
        return _ESCAPE.sub(_character, text[1:-1]) if "\\" in text else text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if "." in text else int(text)


def scalar(value: Fact) -> str:
    """Return text, a number or a truth value in a form that TOML and every YAML read alike."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text  # YAML 1.1 wants the point


def quote(text: str) -> str:
    """Return `text` in double quotes, with everything escaped that nobody would see."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04X}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08X}"


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    code = int(match[2] or match[3], 16)
    if code > sys.maxunicode or 0xD800 <= code <= 0xDFFF:
        raise LockedValueError("no such character", expected="a character of Unicode", found=show(match.group()))
    return chr(code)
