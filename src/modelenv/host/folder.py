"""The private folder of a host: its socket, its lock, and its log."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LONGEST_SOCKET = 90  # bytes: an address has 108 on Linux and 104 on macOS, and a temporary name needs a few
# What a pipeline's answers depend on beside its recipe: a kept host serves only those who agree in all of it.
_LIBRARIES = ("modelenv", "transformers", "torch", "tokenizers", "numpy")
_SETTINGS = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")


@dataclass(frozen=True)
class HostFolder:
    """What lies where in a host's folder, which is of mode 0700."""

    path: Path

    @property
    def socket(self) -> Path:
        """Where workers connect: in the folder, or in a short private one where its path is too long."""
        path = self.path / "socket"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path("/tmp") / f"modelenv-{os.getuid()}" / "sockets" / name  # noqa: S108 - of mode 0700, and checked

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


def kept_folder() -> Path:
    """Return the folder of the host that is kept between runs, for this user, interpreter, libraries and settings."""
    facts = [sys.executable, sys.version]
    facts += [f"{name}={_version(name)}" for name in _LIBRARIES]
    facts += [f"{name}={os.environ.get(name)}" for name in _SETTINGS]
    return hosts_folder() / hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def hosts_folder() -> Path:
    """Return this user's private folder, in which all kept hosts have theirs."""
    return Path(tempfile.gettempdir()) / f"modelenv-{os.getuid()}" / "hosts"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
