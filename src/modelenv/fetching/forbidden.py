"""No request to the Hub while a model of production is built, whatever a library asks for by itself.

As transformers 5.24 does for a SpeechT5 without a vocoder. Only the thread that builds is kept from asking, so that
other parts of a program may go on using the Hub.
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
    """Let this thread make no request to the Hub through `huggingface_hub` for a block.

    A library may swallow the refusal and go on without what it asked for; where it fails instead, the error is ours.

    Args:
        model: the model's name, for the error.

    Raises:
        ConfigurationError: what was done in the block failed, for it needs the Hub.
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
        "loading it would ask the Hub, which is not asked in production",
        model=model,
        found=request,
        hint="give each part of the pipeline that is not in the model's folder as a folder, or as an object",
    )
