"""The Hub as an ASGI application: it parses each request and calls its handler."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from modelenv.hub.accounts import Accounts
from modelenv.hub.http import reading
from modelenv.hub.http.authorization import Asked, MovedError, check_host, visitor_of
from modelenv.hub.http.cdn import Cdn, Delivery, Signer
from modelenv.hub.http.discussions import Discussions
from modelenv.hub.http.files import Sending
from modelenv.hub.http.ratelimits import RateLimits
from modelenv.hub.http.responses import RefusedError, json_response
from modelenv.hub.http.routes import Call, read_call
from modelenv.hub.http.uploading import Uploading
from modelenv.hub.http.writing import Writing
from modelenv.hub.repos.blobs import BlobStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from modelenv.hub.repos.repositories import Repositories
    from modelenv.hub.request_log import Kind

    Handler = Callable[[Asked], Response]

_READING = {
    "info": reading.info,
    "tree": reading.tree,
    "paths-info": reading.paths_info,
    "refs": reading.references,
    "commits": reading.commits,
    "list": reading.listing,
    "own-list": reading.own_listing,
    "auth-check": reading.auth_check,
    "whoami": reading.whoami,
}


class HubApp:
    """Serves repositories with the protocol of the Hub.

    Args:
        repositories: The repositories to serve.
        accounts: The registered tokens. None means that there are none.
        blobs: Stores pushed files. None creates a temporary store.
        cdn: The second address, for large files, which this application serves too. None means that there is none.
    """

    def __init__(
        self,
        repositories: Repositories,
        *,
        accounts: Accounts | None = None,
        blobs: BlobStore | None = None,
        cdn: Cdn | None = None,
    ) -> None:
        self._repositories = repositories
        self._accounts = accounts if accounts is not None else Accounts()
        self._rate_limits = RateLimits()
        blobs, signer = blobs if blobs is not None else BlobStore(), Signer()
        writing, uploading = Writing(repositories, blobs), Uploading(repositories, blobs, signer)
        delivery = Delivery(repositories, signer, Sending(), cdn)
        self._handlers: Mapping[Kind, Handler] = {
            "resolve": delivery.resolve,
            "cdn": delivery.large_file,
            "create": writing.create,
            "delete": writing.delete,
            "move": writing.move,
            "settings": writing.settings,
            "branch": writing.branch,
            "tag": writing.tag,
            "super-squash": writing.squash,
            "discussions": Discussions(repositories).answer,
            "validate-yaml": uploading.validate_card,
            "preupload": uploading.preupload,
            "lfs-batch": uploading.lfs_batch,
            "lfs-verify": uploading.lfs_verify,
        }
        self._streaming: Mapping[Kind, Callable[[Asked], Awaitable[Response]]] = {
            "commit": uploading.commit,
            "lfs-upload": uploading.lfs_upload,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        raw_path = scope["raw_path"].decode("ascii")
        call = read_call(request.method, raw_path)

        async def marked_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                # Like the public Hub, reuse the request id that the client sent.
                traced = f"Root=1-{request.headers.get('x-amzn-trace-id', uuid.uuid4().hex)}"
                headers["X-Request-Id"] = request.headers.get("x-request-id", traced)
                if call.kind != "cdn":
                    headers.update(self._rate_limits.headers(call.kind))
            await send(message)

        response = await self._response(request, raw_path, call)
        await response(scope, receive, marked_send)

    async def _response(self, request: Request, raw_path: str, call: Call) -> Response:
        try:
            return await self._answer(request, raw_path, call)
        except RefusedError as refused:
            return refused.response()
        except MovedError as moved:
            return Response(status_code=307, headers={"Location": moved.path})

    async def _answer(self, request: Request, raw_path: str, call: Call) -> Response:
        check_host(request)
        if call.kind == "other":
            return _other(request, raw_path)
        # The URLs of large files and of uploads are signed, and need no token.
        is_signed = call.kind in ("cdn", "lfs-upload")
        visitor = None if is_signed else visitor_of(request, self._accounts)
        if (streaming := self._streaming.get(call.kind)) is not None:
            return await streaming(Asked(request, call, visitor))
        asked = Asked(request, call, visitor, await request.body())
        if (handler := self._handlers.get(call.kind)) is not None:
            return await asyncio.to_thread(handler, asked)
        return await asyncio.to_thread(_READING[call.kind], self._repositories, asked)


def _other(request: Request, raw_path: str) -> Response:
    if request.method == "GET" and raw_path == "/api/agent-harnesses":
        return json_response({"standardEnvVars": [], "harnesses": {}})
    if raw_path.startswith("/api/telemetry/"):
        return Response(status_code=200)
    message = f"{request.method} {raw_path} is not served by the embedded Hub of modelenv"
    if "/xet-" in raw_path:
        message += "; set HF_HUB_DISABLE_XET=1, and the client uses plain HTTP"
    raise RefusedError(501, message)
