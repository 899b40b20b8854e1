"""The options for checking the files of a load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from modelenv.files.hashing import Progress
from modelenv.store.verification import HashMemory


@dataclass(frozen=True)
class Checks:
    """The options for checking files.

    Attributes:
        memory: The hashes that this process has computed.
        full: Whether to hash every file, even if its hash is known.
        remembers: Whether the hashes can be recorded in the store; never on a volume.
        before_hashing: Called with the number of bytes to hash, if there are any.
        progress: Called with the number of bytes that were just hashed or received.
    """

    memory: HashMemory = field(default_factory=HashMemory)
    full: bool = False
    remembers: bool = True
    before_hashing: Callable[[int], None] | None = None
    progress: Progress | None = None
