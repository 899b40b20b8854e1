"""The host's log never shows a secret of its environment."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from modelenv.errors import redact
from modelenv.host.folder import secrets


class _Redacted:
    """A text stream without secrets; all else is the stream's own."""

    def __init__(self, stream: TextIO, hidden: tuple[str, ...]) -> None:
        self._stream = stream
        self._hidden = hidden

    def write(self, text: str) -> int:
        self._stream.write(redact(text, *self._hidden))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_output() -> None:
    """Hide access tokens in all that this process prints: those of the Hub's form, and the environment's own."""
    hidden = secrets()
    sys.stdout = _Redacted(sys.stdout, hidden)
    sys.stderr = _Redacted(sys.stderr, hidden)
