"""The handlers that change a repository as a whole: create, delete, move, settings, branches and tags."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from modelenv.hub.accounts import namespace_of
from modelenv.hub.http.authorization import (
    Asked,
    check_not_merged,
    check_write,
    check_writing_token,
    no_repository,
    no_revision,
    visible,
)
from modelenv.hub.http.responses import RefusedError, is_true, json_response
from modelenv.hub.repos.commits import MAIN, CommitText, made_snapshot
from modelenv.hub.repos.content import gitattributes
from modelenv.hub.repos.history import History, TakenError, UnknownRevisionError, valid_name
from modelenv.hub.repos.repositories import Repositories, Repository, TakenIdError, valid_repo_id
from modelenv.hub.repos.repository import Gated, RepositorySettings, RepoType

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from modelenv.hub.repos.blobs import BlobStore

_PREFIXES: dict[RepoType, str] = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_VISIBILITIES = {"public": False, "private": True}


@dataclass(frozen=True)
class Writing:
    """The handlers of changes to repositories."""

    repositories: Repositories
    blobs: BlobStore

    def create(self, asked: Asked) -> Response:
        """Create a repository. Its first commit contains a `.gitattributes` and, for a space, a card."""
        value = read_object(asked.body)
        visitor = check_writing_token(asked)
        repo_type = _repo_type(value)
        repo_id = f"{value.get('organization') or visitor.name}/{value.get('name')}"
        if not valid_repo_id(repo_id):
            raise RefusedError(400, f"Invalid repository name: {value.get('name')}")
        url = repository_url(asked, repo_id, repo_type)
        if not visitor.writes(repo_id):
            namespace = namespace_of(repo_id)
            message = f'You don\'t have the rights to create a {repo_type} under the namespace "{namespace}"'
            raise RefusedError(403, message)
        settings = _settings(value, RepositorySettings())
        repository = Repository(repo_id, None, repo_type=repo_type, settings=settings, created=now())
        contents = {".gitattributes": gitattributes(repo_type)}
        if repo_type == "space":
            contents["README.md"] = f"---\ntitle: {value.get('name')}\nsdk: {value.get('sdk')}\n---\n"
        first = made_snapshot(
            {path: self.blobs.keep_bytes(path, content.encode()) for path, content in contents.items()},
            (),
            CommitText("initial commit", "", visitor.name, now()),
        )
        repository.change(lambda history: history.committed(MAIN, first))
        try:
            self.repositories.create(repository)
        except TakenIdError:
            message = f"You already created this {repo_type} repo"
            return json_response({"error": message, "url": url}, status=409, headers={"X-Error-Message": message})
        return json_response({"url": url, "name": repo_id, "id": repo_id})

    def delete(self, asked: Asked) -> Response:
        """Delete a repository. A folder that it served is not changed."""
        value = read_object(asked.body)
        visitor = check_writing_token(asked)
        repo_id = f"{value.get('organization') or visitor.name}/{value.get('name')}"
        self.repositories.remove(self._changeable(asked, repo_id, _repo_type(value)))
        return json_response({})

    def move(self, asked: Asked) -> Response:
        """Change the id of a repository. The old id leads to it from now on."""
        value = read_object(asked.body)
        repo_type, target = _repo_type(value), str(value.get("toRepo"))
        repository = self._changeable(asked, str(value.get("fromRepo")), repo_type)
        if not valid_repo_id(target):
            raise RefusedError(400, f"Invalid repository name: {target}")
        check_write(asked, target)
        try:
            self.repositories.move(repository, target)
        except TakenIdError as error:
            raise RefusedError(409, f"A {repo_type} repository called {target} already exists") from error
        return json_response({})

    def settings(self, asked: Asked) -> Response:
        """Change the visibility of a repository."""
        repository = self._writable(asked)
        settings = _settings(read_object(asked.body), repository.settings)
        repository.set_settings(settings)
        return json_response({"private": settings.private, "gated": settings.gated})

    def branch(self, asked: Asked) -> Response:
        """Create or delete a branch."""
        repository, name = self._writable(asked), asked.call.revision or ""
        if asked.request.method == "DELETE":
            if name == MAIN:
                raise RefusedError(403, f"Cannot delete refs/heads/{MAIN}: it is the default branch")
            return _changed(repository, lambda history: history.without("branches", name))
        start = str(read_object(asked.body).get("startingPoint") or MAIN)
        if not valid_name(name):
            raise RefusedError(400, f"Invalid reference for a branch: refs/heads/{name}")
        return _changed(repository, lambda history: history.branched(name, start))

    def tag(self, asked: Asked) -> Response:
        """Create a tag at the revision in the path, or delete the tag in the path."""
        repository, named = self._writable(asked), asked.call.revision or ""
        if asked.request.method == "DELETE":
            return _changed(repository, lambda history: history.without("tags", named))
        tag = str(read_object(asked.body).get("tag") or "")

        def tagged(history: History) -> History:
            history.find(named)  # a missing revision is reported before an invalid name
            if not valid_name(tag):
                raise RefusedError(400, f"Invalid reference for a tag: refs/tags/{tag}")
            return history.tagged(tag, named)

        return _changed(repository, tagged)

    def squash(self, asked: Asked) -> Response:
        """Replace all commits of a branch with one."""
        visitor, repository, branch = check_writing_token(asked), self._writable(asked), asked.call.revision or ""
        title = str(read_object(asked.body).get("message") or "Super-squash")

        def squashed(history: History) -> History:
            request = history.pull_request(branch)
            if branch not in history.branches and request is None:
                raise UnknownRevisionError(branch)
            if request is not None:
                check_not_merged(request)
            files = history.find(branch).files
            return history.committed(branch, made_snapshot(files, (), CommitText(title, "", visitor.name, now())))

        return _changed(repository, squashed)

    def _writable(self, asked: Asked) -> Repository:
        repository = visible(self.repositories, asked)
        check_write(asked, repository.repo_id)
        return repository

    def _changeable(self, asked: Asked, repo_id: str, repo_type: RepoType) -> Repository:
        visitor = check_writing_token(asked)
        repository = self.repositories.find(repo_id, repo_type)
        if repository is None or (repository.settings.private and not visitor.reads(repository)):
            raise no_repository(visitor)
        check_write(asked, repository.repo_id)
        return repository


def _changed(repository: Repository, change: Callable[[History], History]) -> Response:
    try:
        repository.change(change)
    except TakenError as error:
        raise RefusedError(409, str(error)) from error
    except UnknownRevisionError as error:
        raise no_revision(str(error)) from error
    return json_response({})


def repository_url(asked: Asked, repo_id: str, repo_type: RepoType) -> str:
    """Return the URL of a repository's page, under the host name of the request."""
    return f"{asked.request.base_url}{_PREFIXES[repo_type]}{repo_id}"


def read_json(text: bytes) -> object:
    """Return the value of this JSON, or None if it is not valid JSON.

    Raises:
        RefusedError: It contains a lone surrogate, which cannot be encoded in git or in a response of the Hub.
    """
    try:
        value: object = json.loads(text.decode())
        if b"\\u" in text:  # otherwise it has no surrogate; this saves scanning large base64 contents
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RefusedError(400, "Invalid body: it contains a lone surrogate") from error
    except (ValueError, RecursionError):
        return None
    return value


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body. An empty body is an empty object.

    Raises:
        RefusedError: The body is not a JSON object.
    """
    value = read_json(body or b"{}")
    if not isinstance(value, dict):
        raise RefusedError(400, "Invalid body: expected a JSON object")
    return value


def now() -> datetime:
    """Return the time of a commit. git stores seconds, the Hub shows milliseconds."""
    return datetime.now(UTC)


def _repo_type(value: dict[str, Any]) -> RepoType:
    repo_type = str(value.get("type") or "model")
    if repo_type not in _PREFIXES:
        raise RefusedError(501, f"Repositories of type {repo_type} are not served by the embedded Hub of modelenv")
    return repo_type


def _settings(value: dict[str, Any], present: RepositorySettings) -> RepositorySettings:
    private, gated = value.get("private"), value.get("gated", present.gated)
    if (visibility := value.get("visibility")) is not None:
        if str(visibility) not in _VISIBILITIES:
            raise RefusedError(400, f"Invalid visibility: {visibility}; expected one of public, private")
        private = _VISIBILITIES[visibility]
    if gated not in ("auto", "manual", False):
        raise RefusedError(400, f"Invalid value of gated: {gated}; expected auto, manual or false")
    is_private = present.private if private is None else is_true(str(private))
    return replace(present, private=is_private, gated=cast("Gated", gated))
