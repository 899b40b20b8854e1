"""Failed fetches of one test run, remembered in a folder that all its processes share.

Without it, N workers ask the Hub N times for a model that does not exist. A failure is remembered with its whole
error, so that each process fails with the same words.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from modelenv import errors
from modelenv.errors import ModelEnvError
from modelenv.references import ModelRef
from modelenv.store import write_atomically

_FIELDS = ("what", "model", "expected", "found", "hint")


@dataclass(frozen=True)
class FailureLog:
    """The failed fetches of one run, one small file each, under `folder`."""

    folder: Path

    def raise_if_failed(self, ref: ModelRef) -> None:
        """Raise the error with which a fetch of `ref` failed earlier in this run, if one did."""
        try:
            stored = json.loads(self._path(ref).read_bytes())
        except FileNotFoundError:
            return
        fields = {name: stored[name] for name in _FIELDS if name != "what"}
        raise getattr(errors, stored["type"])(stored["what"], tried=tuple(stored["tried"]), **fields)

    def remember(self, ref: ModelRef, error: ModelEnvError) -> None:
        """Write down that fetching `ref` failed with `error`."""
        fields = {name: getattr(error, name) for name in _FIELDS}
        stored = {"type": type(error).__name__, **fields, "tried": list(error.tried)}
        write_atomically(self._path(ref), json.dumps(stored, indent=1))

    def _path(self, ref: ModelRef) -> Path:
        return self.folder / f"{hashlib.sha256(str(ref).encode()).hexdigest()}.json"
