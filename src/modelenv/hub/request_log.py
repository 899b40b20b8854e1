"""The log of requests to the embedded Hub, with the status and size of the responses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from modelenv.forks import new_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelenv.hub.repos.repository import RepoType

Kind = Literal[
    # Reading.
    "info",
    "tree",
    "paths-info",
    "refs",
    "commits",
    "resolve",
    "list",
    "auth-check",
    "whoami",
    "own-list",
    # Writing.
    "create",
    "delete",
    "move",
    "settings",
    "branch",
    "tag",
    "super-squash",
    "discussions",
    "validate-yaml",
    "preupload",
    "lfs-batch",
    "lfs-upload",
    "lfs-verify",
    "commit",
    # The second port for large files, and requests that are not served.
    "cdn",
    "other",
]


@dataclass(frozen=True)
class HubRequest:
    """One request.

    Attributes:
        method: GET, HEAD, POST and so on.
        path: The raw path, with its query.
        kind: The kind of request. It is "other" if the request does not concern a repository or is not served.
        repo_id, revision, file: The parts of the path, or None if this kind of path does not have them.
        status: The status of the response, or None while it has not begun.
        body_bytes: The bytes of the body handed to the connection so far. A client has never received more.
        range: The Range header, if any.
        repo_type: The type of the repository in the path.
    """

    method: str
    path: str
    kind: Kind
    repo_id: str | None = None
    revision: str | None = None
    file: str | None = None
    status: int | None = None
    body_bytes: int = 0
    range: str | None = None
    repo_type: RepoType = "model"

    def __str__(self) -> str:
        status = "no answer" if self.status is None else str(self.status)
        asked = f" ({self.range})" if self.range else ""
        return f"{self.method} {self.path}{asked} -> {status}, {self.body_bytes} bytes"


class RequestLog:
    """All requests since the start or the last `clear`, in order of arrival. Thread-safe.

    Args:
        finished: Called with each request when its response has ended.
    """

    def __init__(self, finished: Callable[[HubRequest], None] | None = None) -> None:
        self._lock = new_lock()
        self._requests: dict[int, HubRequest] = {}
        self._count = 0
        self.finished = finished

    def open(self, request: HubRequest) -> OpenRequest:
        """Add a request that has just arrived."""
        with self._lock:
            self._count += 1
            self._requests[self._count] = request
            return OpenRequest(self, self._count, request)

    def update(self, number: int, request: HubRequest) -> None:
        """Replace a request, unless the log was cleared since it was added."""
        with self._lock:
            if number in self._requests:
                self._requests[number] = request

    def close(self, request: HubRequest) -> None:
        """Call the listener: the response to this request has ended."""
        if self.finished is not None:
            self.finished(request)

    def all(self) -> tuple[HubRequest, ...]:
        """Return the requests so far."""
        with self._lock:
            return tuple(self._requests.values())

    def clear(self) -> None:
        """Forget the requests so far, including those that are still being answered."""
        with self._lock:
            self._requests.clear()


class OpenRequest:
    """A request while it is being answered. Bytes are logged before the client receives them."""

    def __init__(self, log: RequestLog, number: int, request: HubRequest) -> None:
        self._log = log
        self._number = number
        self._request = request

    @property
    def request(self) -> HubRequest:
        """The current state of the request."""
        return self._request

    def answered(self, status: int) -> None:
        """Log the status of the response."""
        self._set(replace(self._request, status=status))

    def sending(self, count: int) -> None:
        """Log that `count` more bytes of the body are being sent."""
        self._set(replace(self._request, body_bytes=self._request.body_bytes + count))

    def close(self) -> None:
        """Log that the response has ended."""
        self._log.close(self._request)

    def _set(self, request: HubRequest) -> None:
        self._request = request
        self._log.update(self._number, request)
