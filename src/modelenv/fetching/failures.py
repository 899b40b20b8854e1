"""Failed fetches of one test run, remembered in a folder that all its processes share.

Without it, N workers ask the Hub N times for a model that does not exist. A failure is remembered with its whole
error, so that each process fails with the same words.
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
    """The failed fetches of one run, one small file each, under `folder`."""

    folder: Path

    def raise_if_failed(self, ref: ModelRef, deadline: Deadline, *, allow_pickle: bool = False) -> None:
        """Raise the error with which a fetch of `ref` failed earlier in this run, unless this one may go better.

        Args:
            ref: the model.
            deadline: of this fetch; one that had less time says nothing about it.
            allow_pickle: whether this fetch may bring pickled weights; that one was refused them says nothing then.
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
        """Write down that fetching `ref` by `deadline` failed with `error`."""
        import json

        fields = {name: getattr(error, name) for name in _FIELDS}
        seconds = deadline.seconds
        stored = {"type": type(error).__name__, **fields, "tried": list(error.tried), "seconds": seconds}
        write_atomically(self._path(ref), json.dumps(stored, indent=1))

    def _path(self, ref: ModelRef) -> Path:
        import hashlib

        return self.folder / f"{hashlib.sha256(str(ref).encode()).hexdigest()}.json"
