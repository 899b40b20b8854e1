"""Which addresses are the Hub's, and whose: the run's, or one that a test serves on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pytest_modelenv.startup import hub_endpoint

_HUB_HOSTS = ("huggingface.co", "hf.co")  # and what lies below them: the hosts of large files and of Xet
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KINDS = ("models", "datasets", "spaces", "kernels")
# What follows a repository's name in the Hub's paths.
_BEHIND_A_NAME = frozenset(
    ("blob", "commit", "commits", "compare", "discussions", "jwt", "paths-info", "preupload", "raw", "refs",
     "resolve", "revision", "settings", "tree", "treesize", "xet-read-token", "xet-write-token")
)  # fmt: skip
# What `huggingface_hub` asks and tells for itself, now and then, whatever the test does.
_BOOKKEEPING = ("/api/agent-harnesses", "/api/telemetry/")


@dataclass(frozen=True)
class HubAddresses:
    """Tells requests to the Hub from others.

    Attributes:
        endpoint: the HF_ENDPOINT with which the run started, if any; that one is the Hub even on this machine. An
            endpoint on this machine that is set later is one that the tests serve themselves.
    """

    endpoint: str | None

    def include(self, url: str) -> bool:
        """Return whether a request to this address goes to the Hub."""
        address = urlsplit(url)
        host = _host(address)
        if any(host == hub or host.endswith(f".{hub}") for hub in _HUB_HOSTS):
            return True
        configured = [self.endpoint, *(now for now in (hub_endpoint(), _client_endpoint()) if now != self.endpoint)]
        known = [known for known in configured if known and (known == self.endpoint or not is_on_this_machine(known))]
        return _origin(address) in {_origin(urlsplit(known)) for known in known}

    def are_replaced(self) -> bool:
        """Return whether the libraries' endpoint of the moment is a Hub that the tests serve themselves."""
        now = _client_endpoint() or hub_endpoint()
        return now is not None and is_on_this_machine(now) and not self.include(now)


def is_on_this_machine(url: str) -> bool:
    """Return whether an address is one of loopback."""
    host = _host(urlsplit(url))
    return _is_loopback(host) or host.startswith("127.")


def is_bookkeeping(url: str) -> bool:
    """Return whether a request to the Hub is the client library's own, which goes on without an answer."""
    return urlsplit(url).path.startswith(_BOOKKEEPING)


def repo_id(url: str) -> str | None:
    """Return the name of the repository that a request to the Hub is about, if its path tells."""
    parts = urlsplit(url).path.strip("/").split("/")
    if parts[:2] == ["api", "resolve-cache"]:
        parts = parts[3:5]
    elif parts[0] == "api":
        parts = parts[2:] if parts[1:2] and parts[1] in _KINDS else []
    elif not _BEHIND_A_NAME.intersection(parts):
        return None
    elif parts[0] in _KINDS:
        parts = parts[1:]
    name = []
    for part in parts[:2]:
        if part in _BEHIND_A_NAME:
            break
        name.append(part)
    return "/".join(name) or None


def _client_endpoint() -> str | None:
    """Return the endpoint that `huggingface_hub` uses; it reads the variable only once, when it is imported."""
    return getattr(sys.modules.get("huggingface_hub.constants"), "ENDPOINT", None)


def _host(address: SplitResult) -> str:
    """Return the host's name without the dot that may end a whole one."""
    return (address.hostname or "").removesuffix(".")


def _is_loopback(host: str) -> bool:
    """Whether a host is one of the names under which one and the same server on this machine is reached."""
    return host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")


def _origin(address: SplitResult) -> tuple[str, int | None]:
    """Return host and port; the names of loopback count as one."""
    host = _host(address)
    return "localhost" if _is_loopback(host) else host, address.port or _DEFAULT_PORTS.get(address.scheme)
