"""Progress output on stderr: bars on a terminal, plain lines elsewhere, and nothing with `--json`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TextIO

from modelenv.files.hashing import Progress as Advance

Bar = Callable[[str, int], AbstractContextManager[Advance]]
"""Context manager: show a progress bar for `(label, total_bytes)`. It yields a function that adds finished bytes."""


@dataclass(frozen=True)
class Progress:
    """Shows the progress of a command.

    Attributes:
        stream: The output stream.
        quiet: Whether all output is suppressed.
    """

    stream: TextIO
    quiet: bool = False

    @classmethod
    def standard(cls, *, quiet: bool) -> Progress:
        """Return the progress output of this process, on stderr."""
        return cls(sys.stderr, quiet)

    def say(self, text: str) -> None:
        """Write a line. Must not be called while a bar is shown."""
        if not self.quiet:
            self.stream.write(text + "\n")
            self.stream.flush()

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Advance]:
        """Show a bar for `total` bytes. Yields a function that adds finished bytes."""
        with self.bars() as bar, bar(label, total) as advance:
            yield advance

    @contextmanager
    def bars(self) -> Iterator[Bar]:
        """Yield a function that shows a bar. Several bars can be shown at a time."""
        if self.quiet or not self.stream.isatty():
            yield self._line
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as RichProgress

        parts = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with RichProgress(*parts, console=Console(file=self.stream), transient=True) as shown:

            @contextmanager
            def bar(label: str, total: int) -> Iterator[Advance]:
                task = shown.add_task(label.replace("[", r"\["), total=total)
                try:
                    yield lambda count: shown.advance(task, count)
                finally:
                    shown.refresh()  # otherwise a short bar would never be drawn
                    shown.remove_task(task)

            yield bar

    @contextmanager
    def _line(self, label: str, total: int) -> Iterator[Advance]:
        del total
        self.say(label)
        yield _nothing


def _nothing(count: int) -> None:
    del count
