"""Computes the recipe of a hosted pipeline. The same model, files, task and arguments have the same recipe."""

from __future__ import annotations

import hashlib
from pathlib import Path

from modelenv.errors import ModelHostError
from modelenv.host.messages.pickling import crossing
from modelenv.host.messages.protocol import Recipe
from modelenv.loading.spec import ModelSpec


def cannot_stream(error: Exception) -> ModelHostError:
    """Return the error for an item or result that cannot be sent. A stream cannot be restarted in another process."""
    return ModelHostError(
        "an item or a result of a stream cannot be sent between the test and the model host",
        found=str(error),
        hint="load the model in the test's own process: pytest.mark.integration(host=False)",
    )


def recipe_of(spec: ModelSpec) -> Recipe:
    """Return the recipe of a pipeline.

    Raises:
        CannotCrossError: An argument cannot be sent to another process.
    """
    data = crossing(dict(sorted(spec.arguments.items())))
    folder = str(spec.folder.absolute())
    return Recipe(folder, _fingerprint(spec.folder), spec.task, data, spec.device, spec.trust_remote_code, spec.model)


def _fingerprint(folder: Path) -> int:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        state = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}\n".encode())
    return int.from_bytes(digest.digest()[:8])
