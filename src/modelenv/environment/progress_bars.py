"""The progress bars of the Hugging Face libraries: shown on a terminal, as they do, and nowhere else.

The libraries write them to any standard error, so that each model leaves some lines in captured output and in logs.
Nothing of a program's own is changed: a download of ours gets a class for its bars, and a hook for those of
transformers holds for one thread, for the length of a block.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from modelenv.environment.hub_client import hub_constants


def shows_bars() -> bool:
    """Return whether bars are of use: on a terminal, or where HF_HUB_DISABLE_PROGRESS_BARS=0 asks for them."""
    asked_for = hub_constants().HF_HUB_DISABLE_PROGRESS_BARS is False
    return asked_for or (sys.stderr is not None and sys.stderr.isatty())


def download_bars() -> type | None:
    """Return the class for the bars of a download by `huggingface_hub`; None means its own."""
    if shows_bars():
        return None
    from huggingface_hub.utils import tqdm

    class HiddenBar(tqdm):  # type: ignore[misc]
        """A bar of the client that is never shown."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

    return HiddenBar


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide the bars that transformers makes on this thread in a block, such as `Loading weights`."""
    from transformers.utils import logging

    if shows_bars() or not hasattr(logging, "set_tqdm_hook"):  # an older transformers lacks it
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
        if set_since is not hook:  # the program has set another one meanwhile
            logging.set_tqdm_hook(set_since)
