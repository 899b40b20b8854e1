"""Text, numbers and truth values as they are written: in a form that TOML and every YAML read alike."""

from __future__ import annotations

import re

from modelenv.locks.values import INVISIBLE, Fact

_ESCAPED = re.compile(f'[{INVISIBLE}"\\\\]')


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
