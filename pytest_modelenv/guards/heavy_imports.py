"""Imports of torch and transformers in a fast run: which line caused them, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modelenv.guards.callers import Place


class HeavyImports:
    """Measures the heavy imports of one process.

    Args:
        root: The folder to which reported paths are relative.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._running: list[dict[str, Any]] = []
        self._done: list[dict[str, Any]] = []

    @contextmanager
    def measured(self, module: str) -> Iterator[None]:
        """Context manager: measure an import. A nested import counts as part of the outer one."""
        from pytest_modelenv.guards.callers import user_places

        if self._running:
            self._running[0]["modules"].append(module)
            yield
            return
        places = user_places()
        found = {
            "modules": [module],
            "importer": _file_and_line(self._root, places[:1]),
            "test_file": _file_and_line(self._root, places[-1:]),
        }
        self._running.append(found)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._running.clear()
            self._done.append({**found, "seconds": time.perf_counter() - started})

    @property
    def found(self) -> bool:
        """Whether an import finished since the last call to `take`."""
        return bool(self._done)

    def take(self) -> list[dict[str, Any]]:
        """Return the imports that finished since the last call, as plain types."""
        taken, self._done = self._done, []
        return taken


def import_lines(imports: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return the summary lines for (worker, import) pairs: one for each line of code with a heavy import."""
    groups: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for worker, found in imports:
        groups.setdefault((found["importer"], found["test_file"]), []).append((worker, found))
    lines = []
    for (importer, test_file), group in sorted(groups.items()):
        modules = sorted({module for _, found in group for module in found["modules"]})
        by_worker: dict[str, float] = {}
        for worker, found in group:
            by_worker[worker] = by_worker.get(worker, 0.0) + found["seconds"]
        path = "" if importer == test_file else f" (through {importer})"
        spread = f" in each of {len(by_worker)} workers" if len(by_worker) > 1 else ""
        lines.append(f"{test_file} imported {' and '.join(modules)}{path}: {max(by_worker.values()):.1f} s{spread}")
    return lines


def _file_and_line(root: Path, places: Sequence[Place]) -> str:
    return places[0].file_and_line(root) if places else "a pytest plugin"
