"""How far a verb is: a bar on a terminal, plain lines elsewhere, both on the error stream; nothing for machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from modelenv.files.hashing import Progress


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
        """Write a line, where there is no terminal with a bar that says it."""
        if not self.quiet and not self.stream.isatty():
            self.stream.write(text + "\n")
            self.stream.flush()

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Progress]:
        """Show how many of `total` bytes are done, for a block that calls what it gets with the bytes it did."""
        if self.quiet or not self.stream.isatty():
            self.say(what)
            yield _nothing
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as RichProgress

        parts = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with RichProgress(*parts, console=Console(file=self.stream), transient=True) as shown:
            task = shown.add_task(what.replace("[", r"\["), total=total)
            advance: Callable[[int], None] = lambda count: shown.advance(task, count)  # noqa: E731
            yield advance


def _nothing(count: int) -> None:
    del count
