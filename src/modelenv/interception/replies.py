"""Responses as values, independent of the HTTP library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class FilePart:
    """Some bytes of a file: `length` of them from `start` on."""

    path: Path
    start: int
    length: int


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        status: The status code.
        headers: The headers.
        body: The body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FilePart = b""
