"""Formats text, numbers and truth values so that TOML and every version of YAML read the same value."""

from __future__ import annotations

import re

from modelenv.locks.values import INVISIBLE, Fact

_ESCAPED = re.compile(f'[{INVISIBLE}"\\\\]')


def scalar(value: Fact) -> str:
    """Format text, a number or a truth value so that TOML and every version of YAML read the same value."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text  # YAML 1.1 requires the point


def quote(text: str) -> str:
    """Return `text` in double quotes, with invisible characters escaped."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04X}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08X}"
