"""The Hub as an ASGI application: each request is read, logged, looked up and answered."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from . import answers
from .answers import RefusedError, is_true, json_response
from .calls import Call, read_call
from .content import MAIN, Snapshot
from .facts import read_facts
from .files import Rate, file_response
from .request_log import HubRequest, OpenRequest, RequestLog

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from .repositories import Repositories, Repository

# How many entries the Hub puts on one page of a tree, without and with `expand`, and of a list of models.
_TREE_PAGE = 1000
_EXPANDED_TREE_PAGE = 50
_LIST_PAGE = 1000
# What a list of models understands. Any other filter is refused: ignored, it would make the list wrong.
_LIST_QUERY = frozenset({"search", "author", "filter", "pipeline_tag", "limit", "cursor", "full", "sort"})


class HubApp:
    """Serves repositories as the Hub does.

    Args:
        repositories: what is served.
        log: where each request is entered.
        rate: asked before each chunk of a file for the bytes per second, None being no limit.
    """

    def __init__(self, repositories: Repositories, log: RequestLog, rate: Rate) -> None:
        self._repositories = repositories
        self._log = log
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        raw_path = scope["raw_path"].decode("ascii")
        call = read_call(request.method, raw_path)
        entry = self._log.open(_entered(request, raw_path, call))

        async def logged_send(message: Message) -> None:
            _note(entry, message, request.method)
            await send(message)

        try:
            try:
                response = await self._answer(request, raw_path, call)
            except RefusedError as refused:
                response = refused.response()
            await response(scope, receive, logged_send)
        except Exception:
            if entry.request.status is None:
                entry.answered(500)  # by uvicorn, which also logs the error
            raise
        finally:
            entry.close()

    async def _answer(self, request: Request, raw_path: str, call: Call) -> Response:
        if call.kind == "list":
            return await asyncio.to_thread(self._list, request)
        if call.repo_id is None:
            return _other(request, raw_path)
        repository = await asyncio.to_thread(self._repositories.find, call.repo_id)
        if repository is None:
            raise _no_repository(request)
        snapshot = await asyncio.to_thread(repository.snapshot)
        if call.revision not in (None, MAIN, snapshot.commit):
            raise RefusedError(404, f"Invalid rev id: {call.revision}", code="RevisionNotFound")
        match call.kind:
            case "info":
                return await asyncio.to_thread(_info, request, repository, snapshot)
            case "tree":
                return _tree(request, snapshot, call)
            case "paths-info":
                return await _paths_info(request, snapshot)
            case "refs":
                pull_requests = is_true(request.query_params.get("include_prs"))
                return json_response(answers.references(snapshot, pull_requests=pull_requests))
            case _:
                return self._resolve(request, snapshot, call)

    def _resolve(self, request: Request, snapshot: Snapshot, call: Call) -> Response:
        file = snapshot.files.get(call.file or "")
        if file is None:
            raise _no_entry(snapshot, call)
        return file_response(request, snapshot, file, self._rate)

    def _list(self, request: Request) -> Response:
        query = request.query_params
        unknown = sorted(set(query) - _LIST_QUERY)
        if unknown:
            raise RefusedError(501, f"The embedded Hub cannot list models by {', '.join(unknown)}")
        search = query.get("search", "").lower()
        wanted = {*query.getlist("filter"), *query.getlist("pipeline_tag")}
        infos = [
            answers.listed_info(repository.repo_id, read_facts(repository.listing()))
            for repository in self._repositories.all()
            if search in repository.repo_id.lower()
        ]
        author = query.get("author")
        found = [
            info
            for info in infos
            if (author is None or info["author"] == author)
            and wanted <= {*info["tags"], info["pipeline_tag"], info["library_name"]}
        ]
        return answers.page_response(request, found, limit=_LIST_PAGE)


def _entered(request: Request, raw_path: str, call: Call) -> HubRequest:
    query = request.url.query
    return HubRequest(
        method=request.method,
        path=f"{raw_path}?{query}" if query else raw_path,
        kind=call.kind,
        repo_id=call.repo_id,
        revision=call.revision,
        file=call.file,
        range=request.headers.get("range"),
    )


def _note(entry: OpenRequest, message: Message, method: str) -> None:
    # Before the message is sent, so that the log already holds whatever a client has seen.
    if message["type"] == "http.response.start":
        entry.answered(message["status"])
    elif message["type"] == "http.response.body" and method != "HEAD":
        entry.sending(len(message.get("body", b"")))


def _info(request: Request, repository: Repository, snapshot: Snapshot) -> Response:
    facts = read_facts([file.found for file in snapshot.files.values()])
    query = request.query_params
    blobs, expand = is_true(query.get("blobs")), query.getlist("expand")
    return json_response(answers.model_info(repository, snapshot, facts, blobs=blobs, expand=expand))


def _tree(request: Request, snapshot: Snapshot, call: Call) -> Response:
    query = request.query_params
    expand = is_true(query.get("expand"))
    entries = answers.tree_entries(
        snapshot, call.file or "", recursive=is_true(query.get("recursive")), expand=expand
    )
    if entries is None:
        raise _no_entry(snapshot, call)
    return answers.page_response(request, entries, limit=_EXPANDED_TREE_PAGE if expand else _TREE_PAGE)


async def _paths_info(request: Request, snapshot: Snapshot) -> Response:
    paths, expand = _read_paths(await request.body(), request.headers.get("content-type", ""))
    known = (path.strip("/") for path in paths)
    return json_response(
        [
            answers.path_entry(snapshot, path, expand=expand)
            for path in known
            if path in snapshot.files or (path and path in snapshot.trees)
        ]
    )


def _read_paths(body: bytes, content_type: str) -> tuple[list[str], bool]:
    """Return the paths and whether to expand, from a form as the Python client sends it, or from JSON."""
    try:
        if content_type.startswith("application/json"):
            value = json.loads(body)
            return [str(path) for path in value["paths"]], bool(value.get("expand", False))
        form = parse_qs(body.decode(), keep_blank_values=True)
        return form["paths"], is_true(form.get("expand", ["false"])[0])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(400, "Invalid body: expected paths, and optionally expand") from error


def _other(request: Request, raw_path: str) -> Response:
    if request.method == "GET" and raw_path == "/api/agent-harnesses":
        return json_response({"standardEnvVars": [], "harnesses": {}})
    if raw_path.startswith("/api/telemetry/"):
        return Response(status_code=200)
    if request.method == "GET" and raw_path == "/api/whoami-v2":
        # No token is known here, so each one that is sent is wrong.
        sent = "authorization" in request.headers
        message = "Invalid credentials in Authorization header" if sent else "Invalid username or password."
        raise RefusedError(401, message)
    raise RefusedError(501, f"{request.method} {raw_path} is not served by the embedded Hub of modelenv")


def _no_repository(request: Request) -> RefusedError:
    # The public Hub does not tell strangers whether a repository is private or missing. Over http the client
    # knows both statuses by the code alone: its pattern for the URL wants https.
    if "authorization" in request.headers:
        return RefusedError(404, "Repository not found", code="RepoNotFound")
    return RefusedError(401, "Invalid username or password.", code="RepoNotFound")


def _no_entry(snapshot: Snapshot, call: Call) -> RefusedError:
    # With the commit the client can remember that the file does not exist.
    return RefusedError(
        404,
        f"{call.file} does not exist on {call.revision!r}",
        code="EntryNotFound",
        headers={"X-Repo-Commit": snapshot.commit},
    )
