"""Which line of the user's code is running: the first one outside of libraries."""

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
_STANDARD_LIBRARY = str(Path(os.__file__).parent)  # sysconfig tells the same, and takes a millisecond to import
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\")
_OWN_PACKAGES = ("modelenv", "pytest_modelenv")


@dataclass(frozen=True)
class Place:
    """A line of code.

    Attributes:
        file: the path, as Python knows it.
        line: the number of the line.
        function: the function that it is in; None at the top of a module.
    """

    file: str
    line: int
    function: str | None = None

    def file_and_line(self, root: Path) -> str:
        """Return `file:line`, with the file relative to `root` where it is below that."""
        path = Path(self.file)
        return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{self.line}"

    def source(self) -> str:
        """Return the text of the line, without its indentation; empty if the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def told(self, root: Path) -> str:
        """Return `file:line in function`."""
        return self.file_and_line(root) + (f" in {self.function}" if self.function else "")


def user_places() -> list[Place]:
    """Return the lines of user code that led here, the innermost first, up to where pytest called them.

    A helper thread of a library has none; then those of the main thread, which waits for it, or of the one task
    of its event loop that awaits something in user code.
    """
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, and far cheaper than inspect.stack()
    if found := list(_places(frame)):
        return found
    main = threading.main_thread().ident
    if main is None or main == threading.get_ident():
        return []
    frame = sys._current_frames().get(main)  # noqa: SLF001 - documented in the sys module
    return list(_places(frame)) or _awaiting(frame)


def _awaiting(frame: FrameType | None) -> list[Place]:
    """Return the lines at which the event loop's only task with user code is suspended, the innermost first."""
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
    """Return where a frame is, if that is user code."""
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
    """Return where a test is written."""
    file, line, _ = item.reportinfo()
    return Place(str(file), (line or 0) + 1, item.name)
