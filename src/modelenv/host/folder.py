"""The private folder of a host, with its socket, lock and log."""

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

_LONGEST_SOCKET = 90  # bytes: the limit is 108 on Linux and 104 on macOS, and a temporary name needs a few of them
# A pipeline's results depend on these, and on its recipe. A kept host serves only processes with the same values.
_LIBRARIES = ("modelenv", "transformers", "torch", "tokenizers", "numpy")
_SETTINGS = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_SECRET_ENDINGS = ("TOKEN", "SECRET", "PASSWORD", "KEY")  # of names of variables
_SHORTEST_SECRET = 6  # characters: a shorter value is a switch rather than a secret, and occurs in any text


@dataclass(frozen=True)
class HostFolder:
    """The paths in a host's folder, which has mode 0700."""

    path: Path

    @property
    def socket(self) -> Path:
        """The socket for workers. It is in a private folder with a short path if this folder's path is too long."""
        path = self.path / "socket"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return self._short_folders / name / "socket"

    @property
    def _short_folders(self) -> Path:
        return Path("/tmp") / f"modelenv-{os.getuid()}" / "sockets"  # noqa: S108 - its mode 0700 is checked

    def make_socket_folder(self) -> None:
        """Make the socket's folder if it is not this folder. The caller holds the lock."""
        if self.socket.parent != self.path:
            for folder in (self._short_folders.parent, self._short_folders, self.socket.parent):
                make_private(folder)

    def remove_socket(self) -> None:
        """Remove the socket, and its folder if it is not this folder. The caller holds the lock."""
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.path:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    @property
    def lock(self) -> Path:
        """The lock file. The process that starts a host takes the lock, and the host holds it until it ends."""
        return self.path / "host.lock"

    @property
    def log(self) -> Path:
        """The log: the standard output and error of the host."""
        return self.path / "host.log"

    def last_words(self) -> str:
        """Return the end of the log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:  # the log or its folder does not exist, or belongs to another user
            return "no log"
        return " | ".join(lines[-3:]) or "an empty log"


def kept_folder() -> Path:
    """Return the folder of the kept host for this user, interpreter, libraries and settings."""
    facts = [sys.executable, sys.version]
    facts += [f"{name}={_version(name)}" for name in _LIBRARIES]
    facts += [f"{name}={os.environ.get(name)}" for name in _SETTINGS]
    return hosts_folder() / hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def whereabouts() -> str:
    """Return a digest of what decides where this process finds models: its variables and its current folder."""
    facts = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(("MODEL_", "HF_"))]
    return hashlib.sha256("\n".join([str(Path.cwd()), *facts]).encode()).hexdigest()


def hosts_folder() -> Path:
    """Return this user's private folder, which contains the folders of all kept hosts."""
    return Path(tempfile.gettempdir()) / f"modelenv-{os.getuid()}" / "hosts"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def chosen_threads() -> str | None:
    """Return the number of threads that the user has set for each process, or None if it is not set."""
    return os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS")


def secrets() -> tuple[str, ...]:
    """Return the values of the environment's tokens, keys and passwords."""
    return tuple(
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and name.upper().endswith(_SECRET_ENDINGS)
    )
