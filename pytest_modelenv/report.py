"""The plugin's summary at the end of a run: the real models, the heavy imports and the requests to the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

HOST = "the model host"
_THROUGH_CLIENT = "used through the Hub's client"
_NAMED = 3  # how many of the tests without a real model are named


def print_summary(
    terminalreporter: pytest.TerminalReporter,
    models: Sequence[str],
    imports: Sequence[tuple[str, dict[str, Any]]],
    requests: Sequence[tuple[str, dict[str, Any]]],
) -> None:
    """Print the lines about real models, the heavy imports, and the requests, if any."""
    if models:
        terminalreporter.write_sep("=", "real models")
        for line in models:
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


def summary_lines(
    loads: Sequence[tuple[str, dict[str, Any]]],
    notices: Sequence[tuple[str, dict[str, Any]]] = (),
    locked: Sequence[tuple[str, dict[str, Any]]] = (),
) -> list[str]:
    """Return the lines about each model: how it was fetched and loaded, or why that failed, and the notices.

    Args:
        loads: Pairs of the worker's name and a `LoadReport` as plain types.
        notices: Pairs of the worker's name and a `Notice` as plain types.
        locked: Pairs of the worker's name and a use of a locked model by code without `load_model`.
    """
    lines = []
    names = {fact["repo_id"] for _, fact in (*loads, *locked)} | {notice["model"] for _, notice in notices}
    for name in sorted(names):
        its_loads = [(worker, load) for worker, load in loads if load["repo_id"] == name]
        good = [(worker, load) for worker, load in its_loads if load["error"] is None]
        if good:
            lines.append(f"{name}: {_files(its_loads)}; {_loaded(good)}")
        its_uses = [(worker, use) for worker, use in locked if use["repo_id"] == name]
        if its_uses:
            lines.append(f"{name}: {_files(_by_worker(its_uses))}; {_used(its_uses)}")
        errors = dict.fromkeys(load["error"] for _, load in its_loads if load["error"] is not None)
        lines += [f"{name}: failed: {error}" for error in errors]
        texts = dict.fromkeys(notice["text"] for _, notice in notices if notice["model"] == name)
        lines += [f"{name}: {text}" for text in texts]
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


def _by_worker(uses: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return one fact per worker, with what the worker fetched in all."""
    totals: dict[str, dict[str, Any]] = {}
    for worker, use in uses:
        total = totals.setdefault(worker, {"files": 0, "bytes": 0, "requests": 0, "fetch_seconds": 0.0})
        total["fetch_seconds"] += use["seconds"]
        for what in ("files", "bytes", "requests"):
            total[what] += use[what]
    return [(worker, {**total, "fetched": total["requests"] > 0}) for worker, total in sorted(totals.items())]


def _used(uses: Sequence[tuple[str, dict[str, Any]]]) -> str:
    workers = sorted({worker for worker, _ in uses})
    return f"{_THROUGH_CLIENT}{'' if workers == [''] else _by(workers)}"


def _by(workers: Sequence[str]) -> str:
    plural = "worker" if len(workers) == 1 else "workers"
    return f" by {len(workers)} {plural} ({', '.join(workers)})"


def _loaded(loads: Sequence[tuple[str, dict[str, Any]]]) -> str:
    slowest = max(load["load_seconds"] for _, load in loads)
    workers = sorted({worker for worker, _ in loads})
    if any(load["hosted"] for _, load in loads):
        return f"held by {HOST}, loaded in {slowest:.1f} s"
    if workers == [""]:
        return f"loaded in {slowest:.1f} s"
    return f"loaded{_by(workers)} in at most {slowest:.1f} s"
