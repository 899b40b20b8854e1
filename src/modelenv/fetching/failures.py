"""Remembers the failed fetches of one test run, in a folder that all its processes share.

Without it, N workers would request a missing model from the Hub N times. A failure is stored with its complete error,
so that each process fails with the same message.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelenv import errors
from modelenv.deadlines import Deadline
from modelenv.errors import ModelEnvError, ModelLoadTimeoutError, UnsafeModelError
from modelenv.files.disk import write_atomically
from modelenv.references import ModelRef

_FIELDS = ("what", "model", "expected", "found", "hint")


@dataclass(frozen=True)
class FailureLog:
    """The failed fetches of one run, stored as one small file each in `folder`."""

    folder: Path

    def raise_if_failed(self, ref: ModelRef, deadline: Deadline, *, allow_pickle: bool = False) -> None:
        """Raise the error of an earlier fetch of `ref` in this run, unless this fetch could succeed.

        Args:
            ref: The model.
            deadline: The deadline of this fetch. A timeout of a fetch with less time is ignored.
            allow_pickle: Whether this fetch allows pickled weights. If so, an error about pickled weights is ignored.
        """
        import json

        try:
            stored = json.loads(self._path(ref).read_bytes())
        except FileNotFoundError:
            return
        had_less_time = stored["type"] == ModelLoadTimeoutError.__name__ and stored["seconds"] < deadline.seconds
        if had_less_time or (stored["type"] == UnsafeModelError.__name__ and allow_pickle):
            return
        fields = {name: stored[name] for name in _FIELDS if name != "what"}
        raise getattr(errors, stored["type"])(stored["what"], tried=tuple(stored["tried"]), **fields)

    def remember(self, ref: ModelRef, error: ModelEnvError, deadline: Deadline) -> None:
        """Store the error with which fetching `ref` by `deadline` failed."""
        import json

        fields = {name: getattr(error, name) for name in _FIELDS}
        seconds = deadline.seconds
        stored = {"type": type(error).__name__, **fields, "tried": list(error.tried), "seconds": seconds}
        write_atomically(self._path(ref), json.dumps(stored, indent=1))

    def _path(self, ref: ModelRef) -> Path:
        import hashlib

        return self.folder / f"{hashlib.sha256(str(ref).encode()).hexdigest()}.json"
