"""Reads the requests of an HTTP client of `huggingface_hub`."""

from __future__ import annotations

from typing import Any

from modelenv.environment.hub_client import hub_constants
from modelenv.fetching.monitor import is_monitored
from modelenv.interception.replies import Reply
from modelenv.interception.responder import Asked, Responder

_PUBLIC_HUBS = ("https://huggingface.co", "https://hf.co")
_FORM = "application/x-www-form-urlencoded"


def answer_request(request: Any, responder: Responder) -> Reply | str | None:
    """Return the response to a request, the raw path to request instead, or None to send it as it is.

    Raises:
        ModelEnvError: See `Responder.respond`.
    """
    if is_monitored(request):  # a download of ours
        return None
    url = str(request.url)
    endpoint = next((each for each in (hub_constants().ENDPOINT, *_PUBLIC_HUBS) if url.startswith(each + "/")), None)
    if endpoint is None:
        return None
    path, _, query = url.removeprefix(endpoint).partition("?")
    headers = {name.lower(): value for name, value in request.headers.items()}
    form = request.content.decode("ascii", "replace") if headers.get("content-type", "").startswith(_FORM) else ""
    reply = responder.respond(Asked(request.method, path, query, headers, form))
    if isinstance(reply, str):
        raw_path = request.url.raw_path.decode("ascii").partition("?")[0]
        return str(raw_path).removesuffix(path) + reply
    return reply
