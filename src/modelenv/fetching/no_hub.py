"""Blocks requests to the Hub while a model is built in production, even if a library makes them on its own.

For example, transformers 5.24 makes requests for a SpeechT5 without a vocoder. Only the building thread is blocked,
so that other parts of the program can use the Hub meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from modelenv.errors import ConfigurationError
from modelenv.forks import new_lock

if TYPE_CHECKING:
    import httpx2

_refused: ContextVar[list[str] | None] = ContextVar("modelenv_refused_requests", default=None)
_hooking = new_lock()


@contextmanager
def no_hub(model: str) -> Iterator[None]:
    """Context manager: block requests that this thread makes to the Hub through `huggingface_hub`.

    A library can ignore the blocked request and continue without its result. If it fails, our error is raised.

    Args:
        model: The model's name, for the error.

    Raises:
        ConfigurationError: The block failed after a blocked request.
    """
    _hook()
    requests: list[str] = []
    token = _refused.set(requests)
    try:
        yield
    except Exception:
        if requests:
            raise _error(model, requests[0]) from None
        raise
    finally:
        _refused.reset(token)


def _hook() -> None:
    from huggingface_hub.utils import get_session

    with _hooking:
        hooks = get_session().event_hooks
        if _on_request not in hooks["request"]:
            get_session().event_hooks = {**hooks, "request": [_on_request, *hooks["request"]]}


def _on_request(request: httpx2.Request) -> None:
    requests = _refused.get()
    if requests is not None:
        requests.append(f"{request.method} {request.url.path}")
        raise _error("the model", requests[0])


def _error(model: str, request: str) -> ConfigurationError:
    return ConfigurationError(
        "loading it would make a request to the Hub, which is not allowed in production",
        model=model,
        found=request,
        hint="pass each part of the pipeline that is not in the model's folder as a folder or as an object",
    )
