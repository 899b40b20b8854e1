"""How far a verb is: a bar on a terminal, plain lines elsewhere, both on the error stream; nothing for machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TextIO

from modelenv.files.hashing import Progress

Bar = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows how many of so many bytes are done, of what it is called with, for the length of a block."""


@dataclass(frozen=True)
class Teller:
    """Tells a person how far things are.

    Attributes:
        stream: where to.
        quiet: whether to say nothing.
    """

    stream: TextIO
    quiet: bool = False

    @classmethod
    def standard(cls, *, quiet: bool) -> Teller:
        """Return the teller of this process."""
        return cls(sys.stderr, quiet)

    def say(self, text: str) -> None:
        """Write a line; not while a bar is shown."""
        if not self.quiet:
            self.stream.write(text + "\n")
            self.stream.flush()

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Progress]:
        """Show how many of `total` bytes are done, for a block that calls what it gets with the bytes it did."""
        with self.bars() as bar, bar(what, total) as advance:
            yield advance

    @contextmanager
    def bars(self) -> Iterator[Bar]:
        """Give a block a `bar` of which it may show several at a time."""
        if self.quiet or not self.stream.isatty():
            yield self._line
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as RichProgress

        parts = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with RichProgress(*parts, console=Console(file=self.stream), transient=True) as shown:

            @contextmanager
            def bar(what: str, total: int) -> Iterator[Progress]:
                task = shown.add_task(what.replace("[", r"\["), total=total)
                try:
                    yield lambda count: shown.advance(task, count)
                finally:
                    shown.refresh()  # a short one is seen too
                    shown.remove_task(task)

            yield bar

    @contextmanager
    def _line(self, what: str, total: int) -> Iterator[Progress]:
        del total
        self.say(what)
        yield _nothing


def _nothing(count: int) -> None:
    del count
