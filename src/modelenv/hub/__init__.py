"""The embedded Hub: serves a folder of models on loopback, with the protocol of the public Hub, to the real client.

It needs the extra `[hub]` (starlette and uvicorn). They are imported when a Hub is started, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelenv.hub.faults.rules import Rule
    from modelenv.hub.faults.script import FaultHandle
    from modelenv.hub.repos.repositories import RepositoryInfo
    from modelenv.hub.request_log import HubRequest
    from modelenv.hub.server import EmbeddedHub
    from modelenv.hub.serving import serve

__all__ = ["EmbeddedHub", "FaultHandle", "HubRequest", "RepositoryInfo", "Rule", "serve"]

_HOMES = {
    "FaultHandle": "faults.script",
    "Rule": "faults.rules",
    "EmbeddedHub": "server",
    "HubRequest": "request_log",
    "RepositoryInfo": "repos.repositories",
    "serve": "serving",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
