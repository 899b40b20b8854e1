"""Shortens the tracebacks of modelenv's errors to the lines of the test that led to them, and the message.

The rest of the traceback, dozens of frames of modelenv, threads and other libraries, adds nothing to the message.
`pytest --full-trace` shows all of it, and debuggers always see it.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
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
_HOOKS = "pytest_modelenv.plugin"  # its hooks are also in the tracebacks of the project's fixtures
_STANDARD = sys.stdlib_module_names - {"__main__"}
_INSTALLED = frozenset({"site-packages", "dist-packages"})


@contextmanager
def shortened(config: pytest.Config, call: pytest.CallInfo[Any]) -> Iterator[bool]:
    """Context manager: shorten modelenv's errors in the call's exception chain. Create the report inside the block.

    Yields:
        Whether the chain has such an error.
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
    """Shorten the error of a load at import time. Its report was created before it could be shortened."""
    call: pytest.CallInfo[Any] | None = getattr(report, "call", None)
    if call is None or call.excinfo is None:
        return
    with shortened(collector.config, call) as is_short:
        if is_short and call.excinfo is not None:
            report.longrepr = collector.repr_failure(call.excinfo)


def _loads(error: BaseException | None) -> Iterator[BaseException]:
    """Yield modelenv's errors in an exception chain, except a guard's: its frames show what made the access."""
    errors = sys.modules.get("modelenv.errors")
    seen: list[BaseException] = []
    while errors is not None and error is not None and error not in seen:
        seen.append(error)
        if isinstance(error, errors.ModelEnvError) and not isinstance(error, errors.UnexpectedModelAccessError):
            yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@contextmanager
def _short(error: BaseException) -> Iterator[None]:
    """Context manager: remove our frames from an error, and its causes, because the message includes their text."""
    trace, cause, suppresses = error.__traceback__, error.__cause__, error.__suppress_context__
    kept = _kept(trace)
    if kept is None:  # no frame is ours: a test raised it
        yield
        return
    error.__traceback__, error.__cause__ = kept, None
    try:
        yield
    finally:
        error.__traceback__, error.__cause__, error.__suppress_context__ = trace, cause, suppresses


def _kept(trace: TracebackType | None) -> TracebackType | None:
    """Return the test's frames before our first frame, or only that frame if one of our fixtures failed."""
    frames: list[TracebackType] = []
    while trace is not None:
        frames.append(trace)
        if _package(trace.tb_frame) in _OURS and trace.tb_frame.f_globals.get("__name__") != _HOOKS:
            break
        trace = trace.tb_next
    else:
        return None
    if any(_is_of_the_user(each.tb_frame) for each in frames):
        del frames[-1]  # ours: the line before it shows the call
        while _package(frames[-1].tb_frame) in _STANDARD:
            del frames[-1]
    else:
        del frames[:-1]  # the frames before it are of pytest and other plugins
    kept = None
    for each in reversed(frames):
        kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def _is_of_the_user(frame: FrameType) -> bool:
    """Whether a frame is the user's: not ours, not in the standard library or an installed package."""
    is_installed = not _INSTALLED.isdisjoint(Path(frame.f_code.co_filename).parts)
    return _package(frame) not in (*_OURS, *_STANDARD) and not is_installed


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
