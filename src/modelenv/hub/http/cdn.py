"""The download of files: from the Hub itself, or by redirects to signed URLs on a second port for large files."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from modelenv.hub.http.authorization import Asked, check_gate, snapshot_at, visible
from modelenv.hub.http.files import Sending, file_response
from modelenv.hub.http.reading import no_entry
from modelenv.hub.http.responses import RefusedError
from modelenv.hub.http.routes import CDN_END, CDN_PATH, Call
from modelenv.hub.repos.commits import MAIN
from modelenv.hub.repos.repositories import Repositories

if TYPE_CHECKING:
    from starlette.types import Scope

    from modelenv.hub.repos.commits import Snapshot
    from modelenv.hub.repos.content import ServedFile

# How long a signed URL is valid.
_VALID_SECONDS = 3600


class Signer:
    """Signs texts with a random secret of its own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, text: str) -> str:
        """Return the signature of a text."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def valid(self, text: str, signature: str | None) -> bool:
        """Whether this is the signature of the text."""
        return signature is not None and hmac.compare_digest(self.sign(text).encode(), signature.encode())


@dataclass(frozen=True)
class Cdn:
    """The second address of the Hub, for large files: its port and its URL."""

    port: int
    endpoint: str

    def received(self, scope: Scope) -> bool:
        """Whether a request arrived on this port."""
        return bool(scope["server"]) and scope["server"][1] == self.port


@dataclass(frozen=True)
class Delivery:
    """The handlers of downloads.

    `cdn` is None if the Hub serves large files itself. `sending` determines the size of the pieces.
    """

    repositories: Repositories
    signer: Signer
    sending: Sending
    cdn: Cdn | None

    def resolve(self, asked: Asked) -> Response:
        """Return a file, or a redirect if it is large."""
        repository = visible(self.repositories, asked)
        check_gate(repository, asked.visitor)
        snapshot = snapshot_at(repository, asked.call.revision or MAIN)
        file = _file(snapshot, asked.call)
        if self.cdn is None or file.sha256 is None:
            return file_response(asked.request, snapshot, file, self.sending)
        name = f"{repository.repo_type}s/{repository.repo_id}"
        path = quote(f"/{CDN_PATH}/{name}/{CDN_END}/{snapshot.commit}/{file.found.path}")
        expires = int(time.time()) + _VALID_SECONDS
        signature = self.signer.sign(f"{path} {expires}")
        headers = {
            "Location": f"{self.cdn.endpoint}{path}?Expires={expires}&Signature={signature}",
            "X-Repo-Commit": snapshot.commit,
            "X-Linked-Size": str(file.found.size),
            "X-Linked-ETag": f'"{file.etag}"',
            "Accept-Ranges": "bytes",
        }
        return Response(status_code=302, headers=headers)

    def large_file(self, asked: Asked) -> Response:
        """Return a large file. The request must have a signed URL and no token."""
        request, call = asked.request, asked.call
        if self.cdn is None or not self.cdn.received(request.scope):
            raise RefusedError(404, "Not found")
        expires = request.query_params.get("Expires", "")
        path = request.scope["raw_path"].decode("ascii")
        if "authorization" in request.headers:
            # Object stores refuse this too. It would also mean that a token was sent to another host.
            raise RefusedError(400, "Only one auth mechanism allowed; this address is signed")
        if not self.signer.valid(f"{path} {expires}", request.query_params.get("Signature")):
            raise RefusedError(403, "Access denied: the signature is not valid")
        if int(expires) < time.time():
            raise RefusedError(403, "Access denied: this address has expired")
        repository = self.repositories.find(call.repo_id or "", call.repo_type)
        if repository is None:
            raise RefusedError(404, "Not found")
        snapshot = snapshot_at(repository, call.revision or MAIN)
        return file_response(request, snapshot, _file(snapshot, call), self.sending)


def _file(snapshot: Snapshot, call: Call) -> ServedFile:
    file = snapshot.files.get(call.file or "")
    if file is None:
        raise no_entry(snapshot, call)
    if file.stale():
        message = f"{call.file} was changed on disk, and the embedded Hub keeps no copies of files of this size"
        raise RefusedError(410, message)
    return file
