"""The progress bars of the Hugging Face libraries: shown on a terminal, and hidden everywhere else.

The libraries write them to standard error even if it is not a terminal, so that each model leaves lines in captured
output and in logs. The bars of the program itself do not change: our downloads pass their own bar class, and the hook
for transformers applies to one thread, for the duration of a block.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from modelenv.environment.hub_client import hub_constants


def shows_bars() -> bool:
    """Whether to show bars: standard error is a terminal, or HF_HUB_DISABLE_PROGRESS_BARS=0 is set."""
    asked_for = hub_constants().HF_HUB_DISABLE_PROGRESS_BARS is False
    return asked_for or (sys.stderr is not None and sys.stderr.isatty())


def download_bars() -> type | None:
    """Return the progress bar class for a download by `huggingface_hub`, or None for its default class."""
    if shows_bars():
        return None
    from huggingface_hub.utils import tqdm

    class HiddenBar(tqdm):  # type: ignore[misc]
        """A progress bar of the client that is never shown."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

    return HiddenBar


@contextmanager
def download_bar(description: str, size: int) -> Iterator[Callable[[int], None]]:
    """Context manager: show the progress of a download of `size` bytes. Yields what to call with received bytes."""
    from huggingface_hub.utils import tqdm

    with (download_bars() or tqdm)(total=size, unit="B", unit_scale=True, desc=description) as bar:
        yield bar.update


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Context manager: hide the bars that transformers creates on this thread, such as `Loading weights`."""
    from transformers.utils import logging

    if shows_bars() or not hasattr(logging, "set_tqdm_hook"):  # older versions of transformers have no hook
        yield
        return
    thread = threading.get_ident()

    def hook(factory: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if threading.get_ident() == thread:
            return logging.EmptyTqdm(*arguments, **options)
        if previous is not None:
            return previous(factory, arguments, options)
        return factory(*arguments, **options)

    previous = logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        set_since = logging.set_tqdm_hook(previous)
        if set_since is not hook:  # the program set another hook in the block
            logging.set_tqdm_hook(set_since)
