"""Tells addresses of the Hub from others, and from those of a Hub that a test serves on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from pytest_modelenv.startup import hub_endpoint

_HUB_HOSTS = ("huggingface.co", "hf.co")  # and their subdomains: the hosts of large files and of Xet
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KINDS = ("models", "datasets", "spaces", "kernels")
# The path segments that follow a repository's name in the Hub's URLs.
_AFTER_A_NAME = frozenset(
    ("blob", "commit", "commits", "compare", "discussions", "jwt", "paths-info", "preupload", "raw", "refs",
     "resolve", "revision", "settings", "tree", "treesize", "xet-read-token", "xet-write-token")
)  # fmt: skip
# Requests that `huggingface_hub` sends on its own from time to time, whatever the test does.
_BOOKKEEPING = ("/api/agent-harnesses", "/api/telemetry/")


@dataclass(frozen=True)
class HubAddresses:
    """Tells requests to the Hub from others.

    Attributes:
        endpoint: The value of HF_ENDPOINT at the start of the run, or None. It counts as the Hub even if it is on
            this machine. An endpoint on this machine that is set later counts as one that the tests serve.
    """

    endpoint: str | None

    def include(self, url: str) -> bool:
        """Return whether a request to this address goes to the Hub."""
        try:
            address = urlsplit(url)
            host, origin = _host(address), _origin(address)
        except ValueError:  # the library that sends the request reports it
            return False
        if any(host == hub or host.endswith(f".{hub}") for hub in _HUB_HOSTS):
            return True
        configured = [self.endpoint, *(now for now in (hub_endpoint(), _client_endpoint()) if now != self.endpoint)]
        known = [known for known in configured if known and (known == self.endpoint or not is_on_this_machine(known))]
        return origin in {_origin(urlsplit(known)) for known in known}

    def are_replaced(self) -> bool:
        """Return whether the libraries' current endpoint is a Hub that the tests serve."""
        now = _client_endpoint() or hub_endpoint()
        return now is not None and is_on_this_machine(now) and not self.include(now)


def is_on_this_machine(url: str) -> bool:
    """Return whether an address is on loopback."""
    host = _host(urlsplit(url))
    return _is_loopback(host) or host.startswith("127.")


def place_of(url: str) -> tuple[tuple[str, int | None], str]:
    """Return host and port, and the path, of an address. The query of a signed address differs each time."""
    try:
        address = urlsplit(url)
        return _origin(address), unquote(address.path)
    except ValueError:
        return ("", None), url


def is_bookkeeping(url: str) -> bool:
    """Return whether the client library sends this request on its own, and continues without a response."""
    return urlsplit(url).path.startswith(_BOOKKEEPING)


def repo_id(url: str) -> str | None:
    """Return the repo id in the path of a request to the Hub, or None."""
    parts = urlsplit(url).path.strip("/").split("/")
    if parts[:2] == ["api", "resolve-cache"]:
        parts = parts[3:5]
    elif parts[0] == "api":
        parts = parts[2:] if parts[1:2] and parts[1] in _KINDS else []
    elif not _AFTER_A_NAME.intersection(parts):
        return None
    elif parts[0] in _KINDS:
        parts = parts[1:]
    name = []
    for part in parts[:2]:
        if part in _AFTER_A_NAME:
            break
        name.append(part)
    return "/".join(name) or None


def _client_endpoint() -> str | None:
    """Return the endpoint that `huggingface_hub` uses. It reads the variable only when it is imported."""
    return getattr(sys.modules.get("huggingface_hub.constants"), "ENDPOINT", None)


def _host(address: SplitResult) -> str:
    """Return the host name without the trailing dot of a fully qualified name."""
    return (address.hostname or "").removesuffix(".")


def _is_loopback(host: str) -> bool:
    """Whether a host is one of the equivalent names of this machine."""
    return host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")


def _origin(address: SplitResult) -> tuple[str, int | None]:
    """Return host and port. All names of loopback become the same host."""
    host = _host(address)
    return "localhost" if _is_loopback(host) else host, address.port or _DEFAULT_PORTS.get(address.scheme)
