"""Imports of torch and transformers in a fast run: who brought them in, and what that cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_modelenv.frames import Place

HEAVY = ("torch", "transformers")
# The attribute of test reports, and the key of a worker's output, in which imports travel to the controller.
IMPORTS = "modelenv_imports"


class HeavyImports:
    """Measures the heavy imports of one process.

    Args:
        root: files are named relative to this folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._running: list[dict[str, Any]] = []
        self._done: list[dict[str, Any]] = []

    @contextmanager
    def measured(self, module: str) -> Iterator[None]:
        """Measure an import; one within another is part of it."""
        from pytest_modelenv.frames import user_places

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

    def take(self) -> list[dict[str, Any]]:
        """Return the imports that ended since the last call, as plain types."""
        taken, self._done = self._done, []
        return taken


class ImportSummary:
    """Collects the heavy imports of all processes, and says them once.

    A plugin of its own, registered in the process that talks to the user.
    """

    def __init__(self) -> None:
        self._imports: list[tuple[str, dict[str, Any]]] = []

    def add(self, worker: str, imports: Iterable[dict[str, Any]]) -> None:
        """Add the imports of one worker; without pytest-xdist its name is empty."""
        self._imports += [(worker, found) for found in imports]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the imports that a test report brought along."""
        self.add(getattr(report, "worker_id", ""), getattr(report, IMPORTS, ()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: take the imports that no test report took along."""
        self.add(node.gateway.id, getattr(node, "workeroutput", {}).get(IMPORTS, ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print them, if there were any."""
        if self._imports:
            terminalreporter.write_sep("=", "heavy imports")
            for line in import_lines(self._imports):
                terminalreporter.write_line(line)
            terminalreporter.write_line("forbid_heavy_imports = true makes this an error")


def import_lines(imports: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return the lines for (worker, import) pairs: one for each line of code that imported something heavy."""
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
    return places[0].file_and_line(root) if places else "a plugin of pytest"
