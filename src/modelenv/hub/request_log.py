"""What the embedded Hub was asked, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from modelenv.forks import new_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelenv.hub.repos.repository import RepoType

Kind = Literal[
    # What is read.
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
    # What is written.
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
    # What comes from the host for large files, and what is not served.
    "cdn",
    "other",
]


@dataclass(frozen=True)
class HubRequest:
    """One request.

    Attributes:
        method: GET, HEAD, POST and so on.
        path: the path as it came, with its query.
        kind: what was asked for; "other" for whatever does not concern a repository or is not served.
        repo_id, revision, file: what the path names; a kind that does not name it has None.
        status: the status answered; None while no answer has begun.
        body_bytes: bytes of the body handed to the connection so far; a client never has more.
        range: the Range header, if any.
        repo_type: what kind of repository the path names.
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
    """All requests since the start or the last `clear`, in the order of their arrival; safe under threads.

    Args:
        finished: called with each request when its answer has ended.
    """

    def __init__(self, finished: Callable[[HubRequest], None] | None = None) -> None:
        self._lock = new_lock()
        self._requests: dict[int, HubRequest] = {}
        self._count = 0
        self.finished = finished

    def open(self, request: HubRequest) -> OpenRequest:
        """Enter a request that has just arrived."""
        with self._lock:
            self._count += 1
            self._requests[self._count] = request
            return OpenRequest(self, self._count, request)

    def update(self, number: int, request: HubRequest) -> None:
        """Replace an entered request, unless the log was cleared since."""
        with self._lock:
            if number in self._requests:
                self._requests[number] = request

    def close(self, request: HubRequest) -> None:
        """Tell the listener that the answer to this request has ended."""
        if self.finished is not None:
            self.finished(request)

    def all(self) -> tuple[HubRequest, ...]:
        """Return the requests so far."""
        with self._lock:
            return tuple(self._requests.values())

    def clear(self) -> None:
        """Forget the requests so far; one that is still being answered does not come back."""
        with self._lock:
            self._requests.clear()


class OpenRequest:
    """A request while it is being answered. Entered before the client sees the bytes it counts."""

    def __init__(self, log: RequestLog, number: int, request: HubRequest) -> None:
        self._log = log
        self._number = number
        self._request = request

    @property
    def request(self) -> HubRequest:
        """The request as it stands."""
        return self._request

    def answered(self, status: int) -> None:
        """Note the status of the answer."""
        self._set(replace(self._request, status=status))

    def sending(self, count: int) -> None:
        """Note that `count` more bytes of the body are being sent."""
        self._set(replace(self._request, body_bytes=self._request.body_bytes + count))

    def close(self) -> None:
        """Note that the answer has ended."""
        self._log.close(self._request)

    def _set(self, request: HubRequest) -> None:
        self._request = request
        self._log.update(self._number, request)
