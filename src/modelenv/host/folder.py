"""The private folder of a host: its socket, its lock, and its log."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modelenv.files.disk import make_private

_LONGEST_SOCKET = 90  # bytes: an address has 108 on Linux and 104 on macOS, and a temporary name needs a few
# What a pipeline's answers depend on beside its recipe: a kept host serves only those who agree in all of it.
_LIBRARIES = ("modelenv", "transformers", "torch", "tokenizers", "numpy")
_SETTINGS = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_SECRET_ENDINGS = ("TOKEN", "SECRET", "PASSWORD", "KEY")  # of the names of variables
_SHORTEST_SECRET = 6  # characters: what is shorter is a switch rather than a secret, and stands in every text


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
        return self._short_folders / name / "socket"

    @property
    def _short_folders(self) -> Path:
        return Path("/tmp") / f"modelenv-{os.getuid()}" / "sockets"  # noqa: S108 - of mode 0700, and checked

    def make_socket_folder(self) -> None:
        """Make the folder of the socket, where it is another one. Only for who holds the lock."""
        if self.socket.parent != self.path:
            for folder in (self._short_folders.parent, self._short_folders, self.socket.parent):
                make_private(folder)

    def remove_socket(self) -> None:
        """Remove the socket, and its folder where that is another one. Only for who holds the lock."""
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.path:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    @property
    def lock(self) -> Path:
        """Held by whoever starts a host, and then by the host for as long as it lives."""
        return self.path / "host.lock"

    @property
    def log(self) -> Path:
        """What the host writes to its standard output and error."""
        return self.path / "host.log"

    def last_words(self) -> str:
        """Return the end of the log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:  # it, or its folder, is not there or is another user's
            return "no log"
        return " | ".join(lines[-3:]) or "an empty log"


def kept_folder() -> Path:
    """Return the folder of the host that is kept between runs, for this user, interpreter, libraries and settings."""
    facts = [sys.executable, sys.version]
    facts += [f"{name}={_version(name)}" for name in _LIBRARIES]
    facts += [f"{name}={os.environ.get(name)}" for name in _SETTINGS]
    return hosts_folder() / hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def whereabouts() -> str:
    """Return a digest of what decides where this process finds models: its variables, and its folder's project."""
    facts = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(("MODEL_", "HF_"))]
    return hashlib.sha256("\n".join([str(Path.cwd()), *facts]).encode()).hexdigest()


def hosts_folder() -> Path:
    """Return this user's private folder, in which all kept hosts have theirs."""
    return Path(tempfile.gettempdir()) / f"modelenv-{os.getuid()}" / "hosts"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def chosen_threads() -> str | None:
    """Return how many threads the user chose for each process, None where that was left to us."""
    return os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS")


def secrets() -> tuple[str, ...]:
    """Return the values of the environment's tokens, keys and passwords."""
    return tuple(
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and name.upper().endswith(_SECRET_ENDINGS)
    )
