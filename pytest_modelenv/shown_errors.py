"""How an error of modelenv is shown: the lines of the test that led to it, and its message.

What follows in a traceback, dozens of frames of modelenv, of threads and of other libraries, says nothing that the
message does not. `pytest --full-trace` shows all of it, and a debugger sees it in any case.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

_OURS = ("modelenv", "pytest_modelenv")
_HOOKS = "pytest_modelenv.plugin"  # around fixtures of the project too
_STANDARD = sys.stdlib_module_names - {"__main__"}
_INSTALLED = frozenset({"site-packages", "dist-packages"})


@contextmanager
def shortened(config: pytest.Config, call: pytest.CallInfo[Any]) -> Iterator[bool]:
    """Shorten the errors of loads among the call's error and what led to it, for a report that is made in the block.

    Yields:
        Whether there is one.
    """
    excinfo = call.excinfo
    loads = [] if excinfo is None or config.getoption("fulltrace") else list(_loads(excinfo.value))
    if excinfo is None or not loads:
        yield False
        return
    with ExitStack() as stack:
        for error in loads:
            stack.enter_context(_short(error))
        if excinfo.value in loads:
            call.excinfo = pytest.ExceptionInfo.from_exception(excinfo.value)
        try:
            yield True
        finally:
            call.excinfo = excinfo


def show_shortened(collector: pytest.Collector, report: pytest.CollectReport) -> None:
    """Show an error of a load at import time as in a test; its report was made without a chance to shorten it."""
    call: pytest.CallInfo[Any] | None = getattr(report, "call", None)
    if call is None or call.excinfo is None:
        return
    with shortened(collector.config, call) as is_short:
        if is_short and call.excinfo is not None:
            report.longrepr = collector.repr_failure(call.excinfo)


def _loads(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the errors of modelenv in a chain; not those of guards, whose frames say who reached for the model."""
    errors = sys.modules.get("modelenv.errors")
    seen: list[BaseException] = []
    while errors is not None and error is not None and error not in seen:
        seen.append(error)
        if isinstance(error, errors.ModelEnvError) and not isinstance(error, errors.UnexpectedModelAccessError):
            yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@contextmanager
def _short(error: BaseException) -> Iterator[None]:
    """Leave out our frames of an error for a block, and its causes, whose texts are in the message."""
    trace, cause, suppresses = error.__traceback__, error.__cause__, error.__suppress_context__
    kept = _kept(trace)
    if kept is None:  # none of ours: a test has raised it
        yield
        return
    error.__traceback__, error.__cause__ = kept, None
    try:
        yield
    finally:
        error.__traceback__, error.__cause__, error.__suppress_context__ = trace, cause, suppresses


def _kept(trace: TracebackType | None) -> TracebackType | None:
    """Return the frames of the test that led to our first frame, or that frame alone if a fixture of ours failed."""
    frames: list[TracebackType] = []
    while trace is not None:
        frames.append(trace)
        if _package(trace.tb_frame) in _OURS and trace.tb_frame.f_globals.get("__name__") != _HOOKS:
            break
        trace = trace.tb_next
    else:
        return None
    if any(_is_of_the_user(each.tb_frame) for each in frames):
        del frames[-1]  # ours: the line above it says what was called
        while _package(frames[-1].tb_frame) in _STANDARD:
            del frames[-1]
    else:
        del frames[:-1]  # pytest and other plugins led to it
    kept = None
    for each in reversed(frames):
        kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def _is_of_the_user(frame: FrameType) -> bool:
    """Whether a frame is of a project: not ours, not of Python, and not of a package that is installed."""
    is_installed = not _INSTALLED.isdisjoint(Path(frame.f_code.co_filename).parts)
    return _package(frame) not in (*_OURS, *_STANDARD) and not is_installed


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
