"""How the files of a load are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from modelenv.files.hashing import Progress
from modelenv.store.verification import HashMemory


@dataclass(frozen=True)
class Checks:
    """How files are checked.

    Attributes:
        memory: what was hashed in this process.
        full: whether everything is hashed, also what is remembered.
        remembers: whether what was hashed may be written down in the store; never on a volume.
        before_hashing: called with the bytes that must be hashed, if there are any.
        progress: called with the bytes that were hashed or received.
    """

    memory: HashMemory = field(default_factory=HashMemory)
    full: bool = False
    remembers: bool = True
    before_hashing: Callable[[int], None] | None = None
    progress: Progress | None = None
