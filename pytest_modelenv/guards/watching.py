"""Watches requests to the Hub: counts them, and changes nothing.

A request is counted where a library hands it to the network: in `httpcore`, on which httpx is built, and in
`http.client`, on which urllib, urllib3 and requests are built. So it is counted once, through however many libraries
it passes, and each redirect and each retry counts as the request that it is.

Nothing here waits or takes a lock: tests can fork at any moment.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from pytest_modelenv.guards.hub_addresses import HubAddresses, is_on_this_machine, place_of, repo_id
from pytest_modelenv.startup import endpoint_of, running_code

if TYPE_CHECKING:
    import pytest

# The module that sends modelenv's own requests, and the extension with which it marks them. The summary of real
# models shows them.
_OF_MODELENV = "modelenv.fetching.monitor"


class HubWatch:
    """The requests to the Hub of one pytest process.

    Attributes:
        of_call: The requests that the running call of urllib3 has sent, or None outside of such a call.

    Args:
        config: pytest's configuration. It is used before pytest has parsed all its options.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Appending is atomic, so threads need no lock. A forked child leaves its parent's events alone.
        self._events: deque[tuple[int, tuple[str, str], str | None, str, float]] = deque()
        self.of_call: ContextVar[list[SentRequest] | None] = ContextVar("of_call", default=None)
        self._redirects: dict[tuple[tuple[str, int | None], str], str | None] = {}

    @property
    def _addresses(self) -> HubAddresses:
        return HubAddresses(endpoint_of(self._config))

    def request(self, url: str, extensions: object = ()) -> SentRequest | None:
        """Note a request that is about to be sent. Returns None if it does not go to the Hub, or is modelenv's."""
        sent = self.find(url, extensions)
        if sent is not None:
            sent.add("requests", 1)
        return sent

    def find(self, url: str, extensions: object = ()) -> SentRequest | None:
        """Return a request to this address without noting it, or None as `request` does."""
        if isinstance(extensions, dict) and _OF_MODELENV in extensions:
            return None
        if self._addresses.include(url):
            return SentRequest(self, running_code(self._config), repo_id(url), url)
        if self._redirects and (place := place_of(url)) in self._redirects:
            return SentRequest(self, running_code(self._config), self._redirects[place], url)
        return None

    def xet(self, endpoint: str | None) -> None:
        """Note a call of the native Xet client, unless it goes to a Hub that the tests serve, or is modelenv's."""
        is_own = self._addresses.are_replaced() and (endpoint is None or is_on_this_machine(endpoint))
        monitor = sys.modules.get(_OF_MODELENV)
        if not is_own and (monitor is None or not monitor.is_downloading()):
            self.add(running_code(self._config), None, "transfers", 1)

    def redirected(self, url: str, location: str, repo: str | None) -> None:
        """Remember where the Hub redirects a request, such as to a server for large files: that belongs to it too."""
        self._redirects[place_of(urljoin(url, location))] = repo

    def add(self, sender: tuple[str, str], repo: str | None, kind: str, amount: float) -> None:
        """Add an amount to the sender's requests, transfers, bytes or seconds."""
        self._events.append((os.getpid(), sender, repo, kind, amount))

    @property
    def found(self) -> bool:
        """Whether something was counted since the last call to `take`."""
        return bool(self._events)

    def take(self) -> list[dict[str, Any]]:
        """Return what was counted since the last call, as plain types: one fact for each sender."""
        own, facts = os.getpid(), dict[tuple[str, str], dict[str, Any]]()
        for _ in range(len(self._events)):
            process, sender, repo, what, amount = self._events.popleft()
            if process != own:
                continue
            kind, name = sender
            new = {"kind": kind, "name": name, "repos": [], "requests": 0, "transfers": 0, "bytes": 0, "seconds": 0.0}
            fact = facts.setdefault(sender, new)
            fact[what] += amount
            if repo is not None and repo not in fact["repos"]:
                fact["repos"].append(repo)
        return list(facts.values())


class SentRequest:
    """A request to the Hub, and the body of its response.

    Args:
        watch: Counts it.
        sender: The kind and the name of the code that sends it.
        repo: The repo in its URL, or in the URL of the request that was redirected to it. None if it names none.
        url: The URL.
    """

    def __init__(self, watch: HubWatch, sender: tuple[str, str], repo: str | None, url: str) -> None:
        self._watch = watch
        self._sender = sender
        self._repo = repo
        self._url = url

    def add(self, kind: str, amount: float) -> None:
        """Add an amount to the sender's requests, bytes or seconds."""
        self._watch.add(self._sender, self._repo, kind, amount)

    def timed(self) -> Timer:
        """Context manager: add the time that the block takes, also if it fails."""
        return Timer(self)

    def answered(self, status: int, location: str | None) -> None:
        """Note the status and the Location header of the response."""
        if 300 <= status < 400 and location:
            self._watch.redirected(self._url, location, self._repo)


class Timer:
    """Adds the time of a block to the seconds of a request."""

    __slots__ = ("_request", "_started")

    def __init__(self, request: SentRequest) -> None:
        self._request = request
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._request.add("seconds", time.perf_counter() - self._started)
