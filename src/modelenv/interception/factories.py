"""Wraps the factories from which `huggingface_hub` makes its HTTP clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelenv.interception.transport import Answer, wrap_client


def wrap_factories(answer: Answer) -> Callable[[], None]:
    """Have the requests of all new clients answered by `answer`. The shared client is replaced by a new one.

    Returns:
        A function that restores the factories. A factory that has been set in the meantime stays.
    """
    from huggingface_hub.utils import _http

    kinds = (
        ("_GLOBAL_CLIENT_FACTORY", _http.set_client_factory),
        ("_GLOBAL_ASYNC_CLIENT_FACTORY", _http.set_async_client_factory),
    )
    undo: list[Callable[[], None]] = []
    for name, set_factory in kinds:
        before = getattr(_http, name)
        ours = _wrapping(before, answer)
        set_factory(ours)
        undo.append(_restoring(_http, name, set_factory, before, ours))

    def restore() -> None:
        for each in undo:
            each()
        _http.close_session()

    return restore


def _wrapping(factory: Callable[[], Any], answer: Answer) -> Callable[[], Any]:
    def wrapped() -> Any:
        return wrap_client(factory(), answer)

    return wrapped


def _restoring(
    http: Any, name: str, set_factory: Callable[[Any], None], before: Any, ours: Any
) -> Callable[[], None]:
    def restore() -> None:
        if getattr(http, name) is ours:
            set_factory(before)

    return restore
