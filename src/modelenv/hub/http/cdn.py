"""The files themselves: served by the Hub, or from the host for large files to which the Hub sends on."""

from __future__ import annotations

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
from modelenv.hub.http.signing import Signer
from modelenv.hub.repos.commits import MAIN
from modelenv.hub.repos.repositories import Repositories

if TYPE_CHECKING:
    from starlette.types import Scope

    from modelenv.hub.repos.commits import Snapshot
    from modelenv.hub.repos.content import ServedFile

# How long an address on the other host is good for.
_GOOD_SECONDS = 3600


@dataclass(frozen=True)
class Cdn:
    """The host for large files: its port, and its address as a client writes it."""

    port: int
    endpoint: str

    def meant_by(self, scope: Scope) -> bool:
        """Return whether a request came to this host."""
        return bool(scope["server"]) and scope["server"][1] == self.port


@dataclass(frozen=True)
class Delivery:
    """The handlers of files.

    `cdn` is None where the Hub itself serves large files, too; `sending` tells how fast files are sent.
    """

    repositories: Repositories
    signer: Signer
    sending: Sending
    cdn: Cdn | None

    def resolve(self, asked: Asked) -> Response:
        """Return a file, or for a large one where it is."""
        repository = visible(self.repositories, asked)
        check_gate(repository, asked.visitor)
        snapshot = snapshot_at(repository, asked.call.revision or MAIN)
        file = _file(snapshot, asked.call)
        if self.cdn is None or file.sha256 is None:
            return file_response(asked.request, snapshot, file, self.sending)
        name = f"{repository.repo_type}s/{repository.repo_id}"
        path = quote(f"/{CDN_PATH}/{name}/{CDN_END}/{snapshot.commit}/{file.found.path}")
        expires = int(time.time()) + _GOOD_SECONDS
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
        """Return a large file to who has a signed address for it, and sends no token along."""
        request, call = asked.request, asked.call
        if self.cdn is None or not self.cdn.meant_by(request.scope):
            raise RefusedError(404, "Not found")
        expires = request.query_params.get("Expires", "")
        path = request.scope["raw_path"].decode("ascii")
        if "authorization" in request.headers:
            # As object stores do; it would also be a token that has left the Hub.
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
        message = f"{call.file} was changed on the disk, and the embedded Hub keeps no copy of a file of this size"
        raise RefusedError(410, message)
    return file
