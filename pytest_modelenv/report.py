"""The plugin's summary at the end of a run: the real models, the heavy imports and the requests to the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

HOST = "the model host"
_NAMED = 3  # how many of the tests without a real model are named


def print_summary(
    terminalreporter: pytest.TerminalReporter,
    loads: Sequence[tuple[str, dict[str, Any]]],
    imports: Sequence[tuple[str, dict[str, Any]]],
    requests: Sequence[tuple[str, dict[str, Any]]],
    idle: Sequence[str],
) -> None:
    """Print the real models, the integration tests that used none, the heavy imports, and the requests, if any."""
    if loads or idle:
        terminalreporter.write_sep("=", "real models")
        for line in (*summary_lines(loads), *idle_lines(idle)):
            terminalreporter.write_line(line)
    if imports:
        from pytest_modelenv.guards.heavy_imports import import_lines

        terminalreporter.write_sep("=", "heavy imports")
        for line in import_lines(imports):
            terminalreporter.write_line(line)
        terminalreporter.write_line("forbid_heavy_imports = true makes this an error")
    if requests:
        from pytest_modelenv.guards.request_lines import request_lines

        terminalreporter.write_sep("=", "requests to the Hub")
        for line in request_lines([fact for _, fact in requests]):
            terminalreporter.write_line(line)


def summary_lines(loads: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return the lines for (worker, load) pairs: how each model was fetched and loaded, or why that failed."""
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


def idle_lines(tests: Sequence[str]) -> list[str]:
    """Return the line that counts the tests that passed without a real model, or [] if there are none."""
    if not tests:
        return []
    from modelenv.amounts import counted

    named = ", ".join(sorted(tests)[:_NAMED])
    more = f" and {len(tests) - _NAMED} more" if len(tests) > _NAMED else ""
    return [f"{counted(len(tests), 'integration test')} passed without a real model of modelenv: {named}{more}"]


def _files(loads: Sequence[tuple[str, dict[str, Any]]]) -> str:
    from modelenv.amounts import counted

    fetches = [(worker, load) for worker, load in loads if load["fetched"]]
    if not fetches:
        return "cached, 0 requests to the Hub"
    return "; ".join(
        f"fetched{f' by {worker}' if worker else ''} ({counted(load['files'], 'file')}, "
        f"{counted(load['bytes'], 'byte')}, {counted(load['requests'], 'request')} to the Hub, "
        f"{load['fetch_seconds']:.1f} s)"
        for worker, load in fetches
    )


def _loaded(loads: Sequence[tuple[str, dict[str, Any]]]) -> str:
    slowest = max(load["load_seconds"] for _, load in loads)
    workers = sorted({worker for worker, _ in loads})
    if any(load["hosted"] for _, load in loads):
        repeated = sum(load["repeated"] for _, load in loads)
        reused = (
            f"; {repeated} {'answer' if repeated == 1 else 'answers'} of earlier calls reused" if repeated else ""
        )
        return f"held by {HOST}, loaded in {slowest:.1f} s{reused}"
    if workers == [""]:
        return f"loaded in {slowest:.1f} s"
    plural = "worker" if len(workers) == 1 else "workers"
    return f"loaded by {len(workers)} {plural} ({', '.join(workers)}) in at most {slowest:.1f} s"
