"""The faults as a layer of ASGI around the Hub: what a rule answers never reaches the Hub itself."""

from __future__ import annotations

import http
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from .calls import read_call
from .fault_effects import BrokenOffError, Connection, altered
from .faults import Asked, Rule
from .request_log import HubRequest, RequestLog

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .fault_script import FaultScript

# Where the server puts the transport of a request's connection, in the scope's state.
TRANSPORT = "modelenv.transport"
# What the Hub says of a token that it does not accept; the client knows these words (`hf_raise_for_status`).
_WRONG_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 - no password

Refuse = Callable[[float], None]


class FaultLayer:
    """Serves `app`, with the faults of a script.

    Args:
        app: the Hub.
        script: asked once for each request.
        log: where a request is entered that a fault answers.
        refuse: resets every connection, and refuses new ones for so many seconds.
    """

    def __init__(self, app: ASGIApp, script: FaultScript, log: RequestLog, refuse: Refuse) -> None:
        self._app = app
        self._script = script
        self._log = log
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = _asked(scope)
        connection = Connection(scope["state"][TRANSPORT], receive)
        has_body = asked.method != "HEAD"
        rules = self._script.choose(asked)
        try:
            for rule in rules:
                if rule.delay is not None:
                    await connection.sleep(rule.delay)
                if rule.answers:
                    await self._answer(rule, asked, scope, connection, send)
                    return
            for rule in reversed(rules):  # so that the first rule changes the answer first
                send = altered(rule, connection, send, has_body=has_body)
            await self._app(scope, receive, send)
        except BrokenOffError:
            return

    async def _answer(self, rule: Rule, asked: Asked, scope: Scope, connection: Connection, send: Send) -> None:
        entry = self._log.open(_entered(asked, scope))
        try:
            if rule.refuse is not None:
                self._refuse(rule.refuse)
                await connection.gone()
            elif rule.status is None and not rule.redirect_loop and not rule.expired_token:
                await connection.reset()
            else:
                status, headers, body = _answer_of(rule, asked)
                entry.answered(status)
                raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
                await send({"type": "http.response.start", "status": status, "headers": raw})
                if asked.method != "HEAD":
                    entry.sending(len(body))
                await send({"type": "http.response.body", "body": body})
        finally:
            entry.close()


def _asked(scope: Scope) -> Asked:
    path = scope["raw_path"].decode("ascii")
    call = read_call(scope["method"], path)
    has_token = any(name == b"authorization" for name, _ in scope["headers"])
    return Asked(scope["method"], path, call.kind, call.repo_id, call.file, has_token)


def _entered(asked: Asked, scope: Scope) -> HubRequest:
    call = read_call(asked.method, asked.path)
    asked_range = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"range"), None)
    return HubRequest(
        method=asked.method,
        path=_target(scope),
        kind=call.kind,
        repo_id=call.repo_id,
        revision=call.revision,
        file=call.file,
        range=asked_range,
        repo_type=call.repo_type,
    )


def _target(scope: Scope) -> str:
    path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def _answer_of(rule: Rule, asked: Asked) -> tuple[int, dict[str, str], bytes]:
    if rule.redirect_loop:
        return 302, {"Location": asked.path, "Content-Length": "0"}, b""
    status, message = (401, _WRONG_TOKEN) if rule.expired_token else (rule.status or 0, rule.message)
    if message is None:
        message = http.HTTPStatus(status).phrase if status in http.HTTPStatus.__members__.values() else "A fault"
    headers = {"Content-Type": "application/json", "X-Error-Message": message, **(rule.headers or {})}
    body = b"" if status < http.HTTPStatus.BAD_REQUEST else json.dumps({"error": message}).encode()
    if status != http.HTTPStatus.NOT_MODIFIED:
        headers["Content-Length"] = str(len(body))
    return status, headers, body
