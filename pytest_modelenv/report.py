"""What the plugin prints: a line in the header, and a summary of the real models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from pytest_modelenv.options import DOWNLOAD_ON_DEMAND, HOST_OFF, LOCAL_CACHE, SOURCE_VARIABLE
from pytest_modelenv.session_cache import ModelSession

# The attribute of test reports, and the key of a worker's output, in which loads travel to the controller.
LOADS = "modelenv_loads"
HOST = "the model host"


class Summary:
    """Collects the real loads of a run, with the worker that did each, and prints the summary.

    A plugin of its own, registered in the process that talks to the user. A worker that crashed or reported nothing
    only has fewer loads here.
    """

    def __init__(self) -> None:
        self._loads: list[tuple[str, dict[str, Any]]] = []

    def add(self, worker: str, loads: Iterable[dict[str, Any]]) -> None:
        """Add loads of one worker; without pytest-xdist its name is empty."""
        self._loads += [(worker, load) for load in loads]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the loads that a test report brought along."""
        self.add(getattr(report, "worker_id", ""), getattr(report, LOADS, ()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: take the loads that no test report took along."""
        self.add(node.gateway.id, getattr(node, "workeroutput", {}).get(LOADS, ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary, if there was a real model."""
        if self._loads:
            terminalreporter.write_sep("=", "real models")
            for line in summary_lines(self._loads):
                terminalreporter.write_line(line)


def header(session: ModelSession) -> str:
    """Return the line for the header: the source, the cache folder, and where each came from."""
    options = session.options
    forced = f"{SOURCE_VARIABLE} forces {options.forced}" if options.forced else None
    if not options.real_models:
        return f"modelenv: {forced or 'fakes'}; real models with --real-models"
    parts = [f"modelenv: real models from {options.source.value} ({options.source.origin})"]
    if options.source.value in (DOWNLOAD_ON_DEMAND, LOCAL_CACHE):
        cache = session.folders.cache
        parts.append(f"cache {cache.value} ({cache.origin})")
    if options.host != HOST_OFF:
        parts.append(f"held by one process (--model-host={options.host})")
    if forced:
        parts.append(f"all other tests: {forced}")
    return ", ".join(parts)


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
