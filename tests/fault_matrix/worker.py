"""A process that fetches models: it reads a JSON line from stdin for each fetch, and answers with a JSON line."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import huggingface_hub.hf_api  # noqa: F401 - so that no deadline passes during its import

from modelenv.deadlines import Deadline
from modelenv.errors import ModelEnvError
from modelenv.fetching.failures import FailureLog
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store


def fetch(order: dict[str, Any]) -> dict[str, Any]:
    """Return the hash of each file of the model, or the error."""
    started = time.monotonic()
    failures = FailureLog(Path(order["failures"]))
    try:
        obtained = find_or_fetch_model(
            Store(Path(order["store"])), ModelRef("acme/model"), Deadline(order["deadline"]), failures=failures
        )
    except Exception as error:  # noqa: BLE001 - the matrix reports errors of other types
        answer = {
            "error": type(error).__name__,
            "typed": isinstance(error, ModelEnvError),
            "text": str(error),
            "fields": repr(vars(error)),
        }
    else:
        files = sorted(obtained.path.iterdir())
        answer = {"files": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}}
    return {**answer, "seconds": time.monotonic() - started}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(fetch(json.loads(line))), flush=True)
