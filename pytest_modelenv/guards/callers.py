"""Finds the running line of user code: the first line outside of libraries."""

from __future__ import annotations

import functools
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pluggy
import pytest

_PYTEST = tuple(str(Path(module.__file__).parent) for module in (pluggy, sys.modules["_pytest"]) if module.__file__)
_STANDARD_LIBRARY = str(Path(os.__file__).parent)  # sysconfig gives the same path, but its import takes a millisecond
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\")
_OWN_PACKAGES = ("modelenv", "pytest_modelenv")


@dataclass(frozen=True)
class Place:
    """A line of code.

    Attributes:
        file: The path, as Python knows it.
        line: The line number.
        function: The name of the function, or None at module level.
    """

    file: str
    line: int
    function: str | None = None

    def file_and_line(self, root: Path) -> str:
        """Return `file:line`. The file is relative to `root` if it is below `root`."""
        path = Path(self.file)
        return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{self.line}"

    def source(self) -> str:
        """Return the text of the line without indentation, or "" if the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def describe(self, root: Path) -> str:
        """Return `file:line in function`."""
        return self.file_and_line(root) + (f" in {self.function}" if self.function else "")


def user_places() -> list[Place]:
    """Return the lines of user code that led here, the innermost first, up to the call by pytest.

    A helper thread of a library has no lines of user code. Then return those of the main thread, which waits for it,
    or those of the only task in its event loop that is suspended in user code.
    """
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, and much faster than inspect.stack()
    if found := list(_places(frame)):
        return found
    main = threading.main_thread().ident
    if main is None or main == threading.get_ident():
        return []
    frame = sys._current_frames().get(main)  # noqa: SLF001 - documented in the sys module
    return list(_places(frame)) or _awaiting(frame)


def _awaiting(frame: FrameType | None) -> list[Place]:
    """Return the suspended lines of the event loop's only task with user code, the innermost first."""
    asyncio = sys.modules.get("asyncio")
    while asyncio is not None and frame is not None:
        loop = frame.f_locals.get("self")
        if isinstance(loop, asyncio.AbstractEventLoop):
            chains = [chain for task in asyncio.all_tasks(loop) if (chain := _chain(task.get_coro()))]
            return chains[0] if len(chains) == 1 else []
        frame = frame.f_back
    return []


def _chain(awaited: Any) -> list[Place]:
    places = []
    while awaited is not None:
        places += [place for place in [_place(getattr(awaited, "cr_frame", None))] if place is not None]
        awaited = getattr(awaited, "cr_await", None)
    return places[::-1]


def _places(frame: FrameType | None) -> Iterator[Place]:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PYTEST):
            return
        place = _place(frame)
        if place is not None:
            yield place
        frame = frame.f_back


def _place(frame: FrameType | None) -> Place | None:
    """Return the place of a frame, or None if it is not user code."""
    if frame is None or _is_library(frame.f_code.co_filename):
        return None
    name = frame.f_code.co_name
    return Place(frame.f_code.co_filename, frame.f_lineno, None if name == "<module>" else name)


@functools.cache
def _is_library(file: str) -> bool:
    own = [sys.modules[name].__file__ for name in _OWN_PACKAGES if name in sys.modules]
    ours = tuple(str(Path(path).parent) + "/" for path in own if path is not None)
    return file.startswith(("<", _STANDARD_LIBRARY, *ours)) or any(part in file for part in _INSTALLED)


def place_of_test(item: pytest.Item) -> Place:
    """Return the place where a test is defined."""
    file, line, _ = item.reportinfo()
    return Place(str(file), (line or 0) + 1, item.name)
