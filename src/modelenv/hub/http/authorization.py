"""Checks of permissions, and the Hub's responses if they fail."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelenv.hub.http.responses import RefusedError
from modelenv.hub.repos.history import UnknownRevisionError

if TYPE_CHECKING:
    from starlette.requests import Request

    from modelenv.hub.accounts import Account, Accounts
    from modelenv.hub.http.routes import Call
    from modelenv.hub.repos.commits import Snapshot
    from modelenv.hub.repos.history import Discussion
    from modelenv.hub.repos.repositories import Repositories, Repository


class MovedError(Exception):
    """The repository was moved. `path` is the path of the request under its current id."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True)
class Asked:
    """A parsed request: its call, its user (None without a token), and its body, unless that is streamed."""

    request: Request
    call: Call
    visitor: Account | None
    body: bytes = b""


def check_host(request: Request) -> None:
    """Check that the Host header names this machine.

    This prevents DNS rebinding: a page in a browser could make its own host name resolve to loopback, and would then
    be allowed to read the files served here.

    Raises:
        RefusedError: The Host header names another machine.
    """
    host = request.headers.get("host", "localhost")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    try:
        is_own = ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_own = name == "localhost" or name.endswith(".localhost")
    if not is_own:
        raise RefusedError(403, f"The embedded Hub of modelenv answers to 127.0.0.1 and localhost, not to {host}")


def visitor_of(request: Request, accounts: Accounts) -> Account | None:
    """Return the account that sent this request, or None if it has no token.

    Raises:
        RefusedError: The token is unknown or has expired.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    account = accounts.find(token.strip())
    if account is None:
        raise RefusedError(401, "Invalid credentials in Authorization header")
    if account.expired:
        raise RefusedError(401, f'User Access Token "{account.name}" is expired')
    return account


def visible(repositories: Repositories, asked: Asked) -> Repository:
    """Return the requested repository.

    Raises:
        RefusedError: It does not exist, or the visitor cannot see it.
        MovedError: It has another id now.
    """
    call = asked.call
    repo_id = call.repo_id or ""
    repository = repositories.find(repo_id, call.repo_type) or repositories.moved(repo_id, call.repo_type)
    visitor = asked.visitor
    hidden = repository is not None and repository.settings.private
    if repository is None or (hidden and (visitor is None or not visitor.reads(repository))):
        raise no_repository(visitor)
    if _elsewhere(repository, call):
        raise MovedError(_moved_path(asked.request, repo_id, repository.repo_id))
    return repository


def _elsewhere(repository: Repository, call: Call) -> bool:
    # Files are served only under the exact id. All other requests ignore its case.
    given, real = call.repo_id or "", repository.repo_id
    return given != real if call.kind == "resolve" else given.lower() != real.lower()


def _moved_path(request: Request, old: str, new: str) -> str:
    path: str = request.scope["raw_path"].decode("ascii").replace(f"/{old}", f"/{new}", 1)
    return f"{path}?{request.url.query}" if request.url.query else path


def no_repository(visitor: Account | None) -> RefusedError:
    """Return the Hub's response if the repository does not exist or the visitor cannot see it."""
    # The public Hub does not reveal whether a repository is private or missing. Over http, the client recognises both
    # only by the error code, because its URL pattern requires https.
    if visitor is not None:
        return RefusedError(404, "Repository not found", code="RepoNotFound")
    return RefusedError(401, "Invalid username or password.", code="RepoNotFound")


def check_gate(repository: Repository, visitor: Account | None) -> None:
    """Check that the visitor has access to the files of a gated repository.

    Raises:
        RefusedError: The visitor does not have access.
    """
    if not repository.settings.gated or (visitor is not None and visitor.reads(repository)):
        return
    name = f"{repository.repo_type} {repository.repo_id}"
    if visitor is None:
        message = (
            f"Access to {name} is restricted. You must have access to it and be authenticated to access it. "
            "Please log in."
        )
        raise RefusedError(401, message, code="GatedRepo")
    message = f"Access to {name} is restricted and you are not in the authorized list. Ask for access on its page."
    raise RefusedError(403, message, code="GatedRepo")


def known_visitor(asked: Asked) -> Account:
    """Return the visitor.

    Raises:
        RefusedError: The request has no token.
    """
    if asked.visitor is None:
        raise RefusedError(401, "Invalid username or password.")
    return asked.visitor


def check_write(asked: Asked, repo_id: str) -> Account:
    """Return the visitor, who can change this repository.

    Raises:
        RefusedError: The visitor or the token does not have the permission.
    """
    visitor = check_writing_token(asked)
    if not visitor.writes(repo_id):
        raise RefusedError(403, f"Authorization error: {visitor.name} has no right to write to {repo_id}")
    return visitor


def check_writing_token(asked: Asked) -> Account:
    """Return the visitor, whose token has the role `write`.

    Raises:
        RefusedError: The request has no token, or its role is `read`.
    """
    visitor = known_visitor(asked)
    if visitor.role != "write":
        raise RefusedError(403, "Forbidden: you must use a write token to upload to a repository.")
    return visitor


def check_author(asked: Asked, repo_id: str, discussion: Discussion) -> Account:
    """Return the visitor, who opened this discussion or pull request or can change the repository.

    Raises:
        RefusedError: The visitor is neither, or the token's role is `read`.
    """
    visitor = check_writing_token(asked)
    if visitor.name != discussion.author and not visitor.writes(repo_id):
        message = f"Authorization error: discussion {discussion.num} of {repo_id} was not opened by {visitor.name}"
        raise RefusedError(403, message)
    return visitor


def check_not_merged(discussion: Discussion) -> None:
    """Check that a pull request can still be changed.

    Raises:
        RefusedError: It is merged.
    """
    if discussion.status == "merged":
        raise RefusedError(409, f"Pull request {discussion.num} is merged and cannot be changed")


def snapshot_at(repository: Repository, revision: str) -> Snapshot:
    """Return the repository at a revision.

    Raises:
        RefusedError: There is no such revision.
    """
    try:
        return repository.snapshot(revision)
    except UnknownRevisionError as error:
        raise no_revision(revision) from error


def no_revision(revision: str) -> RefusedError:
    """Return the Hub's response if a revision does not exist."""
    return RefusedError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
