"""Keeps the secrets of the host's environment out of its log."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from modelenv.errors import redact
from modelenv.host.folder import secrets


class _Redacted:
    """A text stream that redacts secrets. All other attributes are those of the original stream."""

    def __init__(self, stream: TextIO, hidden: tuple[str, ...]) -> None:
        self._stream = stream
        self._hidden = hidden

    def write(self, text: str) -> int:
        self._stream.write(redact(text, *self._hidden))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_output() -> None:
    """Redact all output of this process: tokens in the form of the Hub's, and the secrets of its environment."""
    hidden = secrets()
    sys.stdout = _Redacted(sys.stdout, hidden)
    sys.stderr = _Redacted(sys.stderr, hidden)
