"""The embedded Hub as a foreground program, for `modelenv hub serve`."""

from __future__ import annotations

import queue
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelenv.hub.faults.file import read_faults
from modelenv.hub.server import EmbeddedHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from modelenv.hub.request_log import HubRequest

_SHOWN = 5


def serve(folder: Path, *, port: int = 0, faults: Path | None = None, echo: Callable[[str], object]) -> None:
    """Serve a folder of models until SIGINT or SIGTERM. Must be called on the main thread.

    Args:
        folder: The models, as `<org>/<name>` or `<name>`.
        port: The port. 0 picks a free one.
        faults: A TOML file of faults, see `read_faults`.
        echo: Called with each output line: the endpoint, how to use it, the models, then one line per request.

    Raises:
        ConfigurationError: The folder does not exist, the port cannot be used, a rule is not valid, or the extra is
            missing.
    """
    rules = read_faults(faults) if faults is not None else ()
    events: queue.SimpleQueue[HubRequest | None] = queue.SimpleQueue()
    hub = EmbeddedHub(folder, port=port, on_request=events.put)
    handles = [hub.fail(**rule) for rule in rules]
    # Install the handlers first: a signal during the start must end the server, too.
    with _on_signals(lambda: events.put(None)), hub:
        echo(f"Serving {folder} at {hub.endpoint}")
        echo(f"export HF_ENDPOINT={hub.endpoint} HF_HUB_DISABLE_XET=1")
        echo(_served(hub.repo_ids()))
        for handle in handles:
            echo(f"Fault: {handle.rule}")
        echo("Stop with Ctrl+C.")
        while (request := events.get()) is not None:
            echo(str(request))
        echo("Stopped.")


def _served(repo_ids: tuple[str, ...]) -> str:
    if not repo_ids:
        return "No models yet: a model is a folder <org>/<name>/ or <name>/ with files in it."
    more = f" and {len(repo_ids) - _SHOWN} more" if len(repo_ids) > _SHOWN else ""
    return f"Models: {', '.join(repo_ids[:_SHOWN])}{more}"


@contextmanager
def _on_signals(action: Callable[[], None]) -> Iterator[None]:
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: action()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
