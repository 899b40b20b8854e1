"""The middleware in front of the Hub: it logs each request, and applies the active faults.

The log contains what the client receives, from a fault or from the Hub.
"""

from __future__ import annotations

import http
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from modelenv.hub.faults.effects import BrokenOffError, Connection, altered
from modelenv.hub.faults.rules import Asked, Rule
from modelenv.hub.http.responses import header_text
from modelenv.hub.http.routes import Call, read_call
from modelenv.hub.request_log import HubRequest, OpenRequest, RequestLog

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from modelenv.hub.faults.script import FaultScript

# The key in the scope's state under which the server puts the transport of a request's connection.
TRANSPORT = "modelenv.transport"
# The Hub's message for an invalid token, which the client recognises (`hf_raise_for_status`).
_WRONG_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 - a message, not a password

Refuse = Callable[[float], None]


class HubMiddleware:
    """Adds a request log and faults to `app`.

    Args:
        app: The Hub.
        log: The log of requests.
        script: The active faults.
        refuse: Resets all connections, and refuses new ones for a number of seconds.
    """

    def __init__(self, app: ASGIApp, log: RequestLog, script: FaultScript, refuse: Refuse) -> None:
        self._app = app
        self._log = log
        self._script = script
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["raw_path"].decode("ascii")
        call = read_call(scope["method"], path)
        entry = self._log.open(_entered(scope, path, call))
        try:
            await self._serve(_asked(scope, path, call), scope, receive, _logged(entry, scope["method"], send))
        except (BrokenOffError, ClientDisconnect):
            pass  # the client has disconnected
        except Exception:
            if entry.request.status is None:
                entry.answered(500)  # by uvicorn, which also logs the error
            raise
        finally:
            entry.close()

    async def _serve(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope["state"][TRANSPORT], receive)
        faults = self._script.choose(asked)
        for fault in faults:
            if fault.rule.delay is not None:
                await connection.sleep(fault.rule.delay)
            if fault.rule.answers:
                await self._answer(fault.rule, asked, connection, send)
                return
        for fault in reversed(faults):  # so that the first one changes the response first
            send = altered(fault, connection, send, has_body=asked.method != "HEAD")
        await self._app(scope, receive, send)

    async def _answer(self, rule: Rule, asked: Asked, connection: Connection, send: Send) -> None:
        if rule.refuse is not None:
            self._refuse(rule.refuse)
            await connection.gone()
        elif rule.status is None and not rule.redirect_loop and not rule.expired_token:
            await connection.reset()
        else:
            await _send_answer(*_answer_of(rule, asked), connection, send, has_body=asked.method != "HEAD")


async def _send_answer(
    status: int, headers: dict[str, str], body: bytes, connection: Connection, send: Send, *, has_body: bool
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    length = int(headers.get("content-length", 0))
    if length == len(body) or not has_body or status == http.HTTPStatus.NOT_MODIFIED:
        await send({"type": "http.response.body", "body": body})
        return
    # The rule has a wrong Content-Length. The server would not send more than that, nor end with less.
    await send({"type": "http.response.body", "body": body[:length], "more_body": True})
    connection.write(body[length:])
    await connection.close()


def _logged(entry: OpenRequest, method: str, send: Send) -> Send:
    async def logged_send(message: Message) -> None:
        # Log before sending, so that the log already contains everything that a client has received.
        if message["type"] == "http.response.start":
            entry.answered(message["status"])
        elif message["type"] == "http.response.body" and method != "HEAD":
            entry.sending(len(message.get("body", b"")))
        await send(message)

    return logged_send


def _asked(scope: Scope, path: str, call: Call) -> Asked:
    has_token = any(name == b"authorization" for name, _ in scope["headers"])
    return Asked(scope["method"], path, call.kind, call.repo_id, call.file, has_token)


def _entered(scope: Scope, path: str, call: Call) -> HubRequest:
    query = scope["query_string"].decode("ascii", "replace")
    return HubRequest(
        method=scope["method"],
        path=f"{path}?{query}" if query else path,
        kind=call.kind,
        repo_id=call.repo_id,
        revision=call.revision,
        file=call.file,
        range=next((value.decode("latin-1") for name, value in scope["headers"] if name == b"range"), None),
        repo_type=call.repo_type,
    )


def _answer_of(rule: Rule, asked: Asked) -> tuple[int, dict[str, str], bytes]:
    if rule.redirect_loop:
        return 302, {"location": asked.path, "content-length": "0"}, b""
    status, message = (401, _WRONG_TOKEN) if rule.expired_token else (rule.status or 0, rule.message)
    if message is None:
        message = http.HTTPStatus(status).phrase if status in http.HTTPStatus.__members__.values() else "A fault"
    body = b"" if status < http.HTTPStatus.BAD_REQUEST else json.dumps({"error": message}).encode()
    headers = {"content-type": "application/json", "x-error-message": header_text(message)}
    if status != http.HTTPStatus.NOT_MODIFIED:
        headers["content-length"] = str(len(body))
    given = {name.lower(): value for name, value in (rule.headers or {}).items()}
    return status, headers | given, body
