"""What the plugin prints at the end of a run: a summary of the real models, and of heavy imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_modelenv.guards import ModelGuards
    from pytest_modelenv.session_cache import ModelSession

HOST = "the model host"
# The kinds of facts: as keys of a worker's output, and attributes of test reports.
_LOADS, _IMPORTS = "modelenv_loads", "modelenv_imports"


def take_facts(models: ModelSession | None, guards: ModelGuards | None) -> dict[str, list[dict[str, Any]]]:
    """Return what happened in this process since the last call, as plain types, by kind; nothing of an empty kind."""
    loads = [] if models is None else models.take_reports()
    imports = [] if guards is None else guards.imports.take()
    return {kind: facts for kind, facts in ((_LOADS, loads), (_IMPORTS, imports)) if facts}


class RunFacts:
    """What the processes of a run report. A worker that crashed has fewer facts, no more.

    Under pytest-xdist this is a plugin of the controller, which hears of each worker's test reports.
    """

    def __init__(self) -> None:
        self._loads: list[tuple[str, dict[str, Any]]] = []
        self._imports: list[tuple[str, dict[str, Any]]] = []

    def add(self, worker: str, facts: Mapping[str, Any]) -> None:
        """Add facts of one worker, by kind; without pytest-xdist its name is empty. Other keys are passed over."""
        self._loads += [(worker, load) for load in facts.get(_LOADS, ())]
        self._imports += [(worker, found) for found in facts.get(_IMPORTS, ())]

    def add_hosted(self, loads: Iterable[dict[str, Any]]) -> None:
        """Add what the model host loaded before anybody asked."""
        self._loads += [(HOST, load) for load in loads]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the facts that a worker's test report brought along."""
        self.add(getattr(report, "worker_id", ""), vars(report))

    def print_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the real models, and the heavy imports of a fast run, if there were any."""
        if self._loads:
            terminalreporter.write_sep("=", "real models")
            for line in summary_lines(self._loads):
                terminalreporter.write_line(line)
        if self._imports:
            from pytest_modelenv.heavy_imports import import_lines

            terminalreporter.write_sep("=", "heavy imports")
            for line in import_lines(self._imports):
                terminalreporter.write_line(line)
            terminalreporter.write_line("forbid_heavy_imports = true makes this an error")


def summary_lines(loads: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return the lines for (worker, load) pairs: for each model how it was fetched and loaded, or why it was not."""
    models: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for worker, load in loads:
        models.setdefault(load["repo_id"], []).append((worker, load))
    lines = []
    for name, its_loads in sorted(models.items()):
        good = [(worker, load) for worker, load in its_loads if load["error"] is None and load["reason"] is None]
        if good:
            lines.append(f"{name}: {_files(its_loads)}; {_loaded(good)}")
        lines += [
            f"{name}: also loaded{f' by {worker}' if worker else ''} in the process of the test: {load['reason']}"
            for worker, load in its_loads
            if load["reason"] is not None
        ]
        errors = dict.fromkeys(load["error"] for _, load in its_loads if load["error"] is not None)
        lines += [f"{name}: failed: {error}" for error in errors]
    return lines


def _files(loads: Sequence[tuple[str, dict[str, Any]]]) -> str:
    fetches = [(worker, load) for worker, load in loads if load["fetched"]]
    if not fetches:
        return "cached, 0 requests to the Hub"
    return "; ".join(
        f"fetched{f' by {worker}' if worker else ''} ({load['files']} files, {load['bytes']:,} bytes, "
        f"{load['requests']} requests to the Hub, {load['fetch_seconds']:.1f} s)"
        for worker, load in fetches
    )


def _loaded(loads: Sequence[tuple[str, dict[str, Any]]]) -> str:
    slowest = max(load["load_seconds"] for _, load in loads)
    workers = sorted({worker for worker, _ in loads if worker != HOST})
    if any(worker == HOST for worker, _ in loads):
        return f"held by {HOST}, loaded in {slowest:.1f} s"
    if workers == [""]:
        return f"loaded in {slowest:.1f} s"
    plural = "worker" if len(workers) == 1 else "workers"
    return f"loaded by {len(workers)} {plural} ({', '.join(workers)}) in at most {slowest:.1f} s"
