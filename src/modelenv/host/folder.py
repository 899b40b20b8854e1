"""The private folder of a host: its socket, its lock, and its log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostFolder:
    """What lies where in a host's folder, which is of mode 0700."""

    path: Path

    @property
    def socket(self) -> Path:
        """Where workers connect."""
        return self.path / "socket"

    @property
    def lock(self) -> Path:
        """Held by the host for as long as it lives."""
        return self.path / "host.lock"

    @property
    def starting(self) -> Path:
        """Held by whoever starts a host."""
        return self.path / "starting.lock"

    @property
    def log(self) -> Path:
        """What the host writes to its standard output and error."""
        return self.path / "host.log"

    def last_words(self) -> str:
        """Return the end of the log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except FileNotFoundError:
            return "no log"
        return " | ".join(lines[-3:]) or "an empty log"
