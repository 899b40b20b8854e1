"""The handlers that read: infos, trees, paths, references, commits, and lists of repositories."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from modelenv.hub.accounts import namespace_of
from modelenv.hub.http import responses as answers
from modelenv.hub.http.authorization import Asked, check_gate, check_write, known_visitor, snapshot_at, visible
from modelenv.hub.http.responses import RefusedError, is_true, json_response
from modelenv.hub.repos.commits import MAIN, Snapshot
from modelenv.hub.repos.facts import read_facts

if TYPE_CHECKING:
    from starlette.responses import Response

    from modelenv.hub.http.routes import Call
    from modelenv.hub.repos.history import History
    from modelenv.hub.repos.repositories import Repositories, Repository

# The Hub's page sizes: for a tree without and with `expand`, for commits, and for a list.
_TREE_PAGE = 1000
_EXPANDED_TREE_PAGE = 50
_COMMITS_PAGE = 50
_LIST_PAGE = 1000
# The supported filters of a list. Others are refused, because ignoring them would return a wrong list.
_LIST_QUERY = frozenset({"search", "author", "filter", "pipeline_tag", "limit", "cursor", "full", "sort", "expand"})

# Earlier than any time of creation.
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def info(repositories: Repositories, asked: Asked) -> Response:
    """Return the info of a repository at a revision."""
    repository = visible(repositories, asked)
    snapshot = snapshot_at(repository, asked.call.revision or MAIN)
    query = asked.request.query_params
    blobs = is_true(query.get("blobs"))
    expand = [*query.getlist("expand"), *query.getlist("expand[]")]
    return json_response(_info(repository, snapshot, blobs=blobs, expand=expand))


def _info(repository: Repository, snapshot: Snapshot, *, blobs: bool, expand: list[str]) -> dict[str, object]:
    facts = read_facts([file.found for file in snapshot.files.values()], repository.repo_type)
    return answers.repository_info(repository, snapshot, facts, blobs=blobs, expand=expand)


def tree(repositories: Repositories, asked: Asked) -> Response:
    """Return the entries of a folder, page by page."""
    history, snapshot = _at_revision(repositories, asked)
    query = asked.request.query_params
    expand = is_true(query.get("expand"))
    paths = answers.tree_paths(snapshot, asked.call.file or "", recursive=is_true(query.get("recursive")))
    if paths is None:
        raise no_entry(snapshot, asked.call)
    return answers.page_response(
        asked.request,
        paths,
        limit=_EXPANDED_TREE_PAGE if expand else _TREE_PAGE,
        render=lambda path: answers.path_entry(history, snapshot, path, expand=expand),
    )


def paths_info(repositories: Repositories, asked: Asked) -> Response:
    """Return the entries of the paths in the body. Paths that do not exist are omitted."""
    history, snapshot = _at_revision(repositories, asked)
    paths, expand = _read_paths(asked.body, asked.request.headers.get("content-type", ""))
    known = (path.strip("/") for path in paths)
    return json_response(
        [
            answers.path_entry(history, snapshot, path, expand=expand)
            for path in known
            if path in snapshot.files or (path and path in snapshot.trees)
        ]
    )


def references(repositories: Repositories, asked: Asked) -> Response:
    """Return the branches and tags, and the pull requests if the query asks for them."""
    history = visible(repositories, asked).history()
    pull_requests = is_true(asked.request.query_params.get("include_prs"))
    return json_response(answers.references(history, pull_requests=pull_requests))


def commits(repositories: Repositories, asked: Asked) -> Response:
    """Return the commits of a revision, newest first, page by page."""
    history, snapshot = _at_revision(repositories, asked)
    query = asked.request.query_params
    formatted = "formatted" in (*query.getlist("expand"), *query.getlist("expand[]"))
    log = history.log(snapshot)
    response = answers.page_response(
        asked.request,
        log,
        limit=_COMMITS_PAGE,
        render=lambda commit: answers.commit_entry(commit, formatted=formatted),
    )
    response.headers["X-Total-Count"] = str(len(log))
    return response


def listing(repositories: Repositories, asked: Asked) -> Response:
    """Return the repositories that the visitor can see, page by page."""
    query = asked.request.query_params
    unknown = sorted(set(query) - _LIST_QUERY)
    if unknown:
        raise RefusedError(501, f"The embedded Hub cannot list {asked.call.repo_type}s by {', '.join(unknown)}")
    searched, author = [text.lower() for text in query.getlist("search")], query.get("author")
    wanted = {*query.getlist("filter"), *query.getlist("pipeline_tag")}
    found: list[tuple[Repository, dict[str, Any]]] = []
    for repository in repositories.all(asked.call.repo_type):
        hidden = repository.settings.private and (asked.visitor is None or not asked.visitor.reads(repository))
        if hidden or not all(text in repository.repo_id.lower() for text in searched):
            continue
        listed = answers.listed_info(repository, read_facts(repository.listing(), repository.repo_type))
        known = {*listed["tags"], listed.get("pipeline_tag"), listed.get("library_name")}
        if (author is None or listed["author"] == author) and wanted <= known:
            found.append((repository, listed))
    full, expand = is_true(query.get("full")), query.getlist("expand")
    return answers.page_response(
        asked.request,
        _ordered(found, query.get("sort")),
        limit=_LIST_PAGE,
        render=lambda entry: _listed(*entry, full, expand),
    )


def _ordered(
    found: list[tuple[Repository, dict[str, Any]]], sort: str | None
) -> list[tuple[Repository, dict[str, Any]]]:
    match sort:
        case "lastModified" | "last_modified":
            return sorted(found, key=lambda entry: entry[0].last_modified(), reverse=True)
        case "createdAt" | "created_at":
            return sorted(found, key=lambda entry: entry[0].created or _LONG_AGO, reverse=True)
        case None | "downloads" | "likes" | "trendingScore" | "trending_score":
            return found  # these are equal for all repositories here, so keep the order by id
        case _:
            raise RefusedError(501, f"The embedded Hub cannot sort by {sort}")


def own_listing(repositories: Repositories, asked: Asked) -> Response:
    """Return the visitor's own repositories of all types, or those of an organisation, with their sizes."""
    visitor = known_visitor(asked)
    namespace = asked.call.file or visitor.name
    if not visitor.owns(namespace):
        raise RefusedError(403, f"{visitor.name} is not a member of {namespace}")
    own = [known for known in repositories.of_all_types() if namespace_of(known.repo_id) == namespace]
    sizes = [sum(file.size for file in known.listing()) for known in own]
    total = sum(sizes) or 1
    entries = [answers.own_entry(known, size, size / total) for known, size in zip(own, sizes, strict=True)]
    return answers.page_response(asked.request, entries, limit=_LIST_PAGE, render=lambda entry: entry)


def _listed(repository: Repository, listed: dict[str, object], full: bool, expand: list[str]) -> dict[str, object]:
    if not full and not expand:
        return listed
    return _info(repository, repository.snapshot(), blobs=False, expand=expand)


def auth_check(repositories: Repositories, asked: Asked) -> Response:
    """Check that the visitor can read the files of a repository or, for `/write`, change them."""
    repository = visible(repositories, asked)
    check_gate(repository, asked.visitor)
    if asked.call.file == "write":
        check_write(asked, repository.repo_id)
    return json_response({})


def whoami(repositories: Repositories, asked: Asked) -> Response:
    """Return the account of the token."""
    return json_response(known_visitor(asked).described())


def no_entry(snapshot: Snapshot, call: Call) -> RefusedError:
    """Return the Hub's response if a file or folder does not exist."""
    # With the commit, the client can record that the file does not exist.
    return RefusedError(
        404,
        f"{call.file} does not exist on {call.revision!r}",
        code="EntryNotFound",
        headers={"X-Repo-Commit": snapshot.commit},
    )


def _at_revision(repositories: Repositories, asked: Asked) -> tuple[History, Snapshot]:
    repository = visible(repositories, asked)
    snapshot = snapshot_at(repository, asked.call.revision or MAIN)
    return repository.history(), snapshot


def _read_paths(body: bytes, content_type: str) -> tuple[list[str], bool]:
    """Return the paths and whether to expand them, from a form (as the Python client sends it) or from JSON."""
    try:
        if content_type.startswith("application/json"):
            value = json.loads(body)
            return [str(path) for path in value["paths"]], bool(value.get("expand", False))
        form = parse_qs(body.decode(), keep_blank_values=True)
        return form["paths"], is_true(form.get("expand", ["false"])[0])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(400, "Invalid body: expected paths, and optionally expand") from error
