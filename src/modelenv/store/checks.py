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
        memory: the hashes that this process has computed.
        full: whether to hash every file, even if its hash is known.
        remembers: whether the hashes can be recorded in the store; never on a volume.
        before_hashing: called with the number of bytes to hash, if there are any.
        progress: called with the number of bytes that were just hashed or received.
    """

    memory: HashMemory = field(default_factory=HashMemory)
    full: bool = False
    remembers: bool = True
    before_hashing: Callable[[int], None] | None = None
    progress: Progress | None = None
