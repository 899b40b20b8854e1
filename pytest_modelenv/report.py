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
    notices: Sequence[tuple[str, dict[str, Any]]],
    imports: Sequence[tuple[str, dict[str, Any]]],
    requests: Sequence[tuple[str, dict[str, Any]]],
    idle: Sequence[str],
) -> None:
    """Print the real models, the integration tests that used none, the heavy imports, and the requests, if any."""
    if loads or notices or idle:
        terminalreporter.write_sep("=", "real models")
        for line in (*summary_lines(loads, notices), *idle_lines(idle)):
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
    loads: Sequence[tuple[str, dict[str, Any]]], notices: Sequence[tuple[str, dict[str, Any]]] = ()
) -> list[str]:
    """Return the lines about each model: how it was fetched and loaded, or why that failed, and the notices.

    Args:
        loads: Pairs of the worker's name and a `LoadReport` as plain types.
        notices: Pairs of the worker's name and a `Notice` as plain types.
    """
    lines = []
    for name in sorted({load["repo_id"] for _, load in loads} | {notice["model"] for _, notice in notices}):
        its_loads = [(worker, load) for worker, load in loads if load["repo_id"] == name]
        good = [(worker, load) for worker, load in its_loads if load["error"] is None]
        if good:
            lines.append(f"{name}: {_files(its_loads)}; {_loaded(good)}")
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


def _loaded(loads: Sequence[tuple[str, dict[str, Any]]]) -> str:
    slowest = max(load["load_seconds"] for _, load in loads)
    workers = sorted({worker for worker, _ in loads})
    if any(load["hosted"] for _, load in loads):
        return f"held by {HOST}, loaded in {slowest:.1f} s"
    if workers == [""]:
        return f"loaded in {slowest:.1f} s"
    plural = "worker" if len(workers) == 1 else "workers"
    return f"loaded by {len(workers)} {plural} ({', '.join(workers)}) in at most {slowest:.1f} s"
