"""The handlers of discussions and pull requests: open, list, read, comment, close, merge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelenv.hub.http.authorization import (
    Asked,
    check_author,
    check_not_merged,
    check_write,
    check_writing_token,
    visible,
)
from modelenv.hub.http.responses import RefusedError, json_response, timestamp
from modelenv.hub.http.writing import now, read_object
from modelenv.hub.repos.commits import CommitText, made_snapshot
from modelenv.hub.repos.history import Discussion, Event, History

if TYPE_CHECKING:
    from starlette.responses import Response

    from modelenv.hub.accounts import Account
    from modelenv.hub.repos.content import ServedFile
    from modelenv.hub.repos.repositories import Repositories, Repository

_PAGE = 50
# More digits than any number here has, and fewer than the limit of Python's int().
_DIGITS = 18


@dataclass(frozen=True)
class Discussions:
    """The handlers of discussions."""

    repositories: Repositories

    def answer(self, asked: Asked) -> Response:
        """Answer any request for discussions."""
        repository = visible(self.repositories, asked)
        number, _, action = (asked.call.file or "").partition("/")
        if not number:
            return self._open(asked, repository) if asked.request.method == "POST" else _list(asked, repository)
        discussion = repository.history().discussion(_number(number))
        if discussion is None:
            raise RefusedError(404, f"Discussion not found: {number}")
        if asked.request.method == "GET" and not action:
            return json_response(_details(repository, discussion))
        match action:
            case "comment" | "status" | "title" | "merge":
                return self._change(asked, repository, discussion, action)
            case _:
                path = asked.request.url.path
                raise RefusedError(501, f"POST {path} is not served by the embedded Hub of modelenv")

    def _open(self, asked: Asked, repository: Repository) -> Response:
        visitor, value = check_writing_token(asked), read_object(asked.body)
        title, description = str(value.get("title") or "").strip(), str(value.get("description") or "")
        if len(title) < 3:
            raise RefusedError(400, "Invalid title: expected at least 3 characters")
        is_request = value.get("pullRequest") is True

        def opened(history: History) -> History:
            discussion = new_discussion(history, title, visitor.name, description)
            if is_request:
                head = history.branches[discussion.base]
                discussion = replace(discussion, head=head, status="draft")
            return history.discussed(discussion)

        newest = repository.change(opened).discussions[-1]
        return json_response({"num": newest.num, "url": asked.request.url.path, "pullRequest": is_request})

    def _change(self, asked: Asked, repository: Repository, known: Discussion, action: str) -> Response:
        visitor, value = _who_may(asked, repository, known, action), read_object(asked.body)

        def changed(history: History) -> History:
            discussion = history.discussion(known.num)
            assert discussion is not None  # noqa: S101 - it was found before, and discussions are never removed
            match action:
                case "comment":
                    event = _comment(visitor.name, str(value.get("comment") or ""))
                    return history.discussed(replace(discussion, events=(*discussion.events, event)))
                case "title":
                    return history.discussed(_retitled(discussion, visitor.name, str(value.get("title") or "")))
                case "status":
                    status, said = value.get("status"), str(value.get("comment") or "")
                    if status not in ("open", "closed"):
                        raise RefusedError(400, f"Invalid status: {status}; expected open or closed")
                    check_not_merged(discussion)
                    return history.discussed(_with_status(discussion, visitor.name, status, said))
                case _:
                    return _merged(history, discussion, visitor.name, str(value.get("comment") or ""))

        after = repository.change(changed).discussion(known.num) or known
        # The response contains the new comment, status or title.
        kind = {"comment": "comment", "title": "title-change"}.get(action, "status-change")
        key = {"comment": "newMessage", "title": "newTitle"}.get(action, "newStatus")
        event = next(event for event in reversed(after.events) if event.kind == kind)
        return json_response({key: _event(event)})


def _who_may(asked: Asked, repository: Repository, discussion: Discussion, action: str) -> Account:
    match action:
        case "comment":
            return check_writing_token(asked)
        case "merge":
            return check_write(asked, repository.repo_id)
        case _:
            return check_author(asked, repository.repo_id, discussion)


def new_discussion(history: History, title: str, author: str, description: str) -> Discussion:
    """Return a discussion with the next free number. It is not yet part of the history."""
    num = max((known.num for known in history.discussions), default=0) + 1
    return Discussion(num, title, author, now(), "open", (_comment(author, description),))


def _list(asked: Asked, repository: Repository) -> Response:
    query = asked.request.query_params
    wanted = {"discussion": [False], "pull_request": [True]}.get(query.get("type", ""), [True, False])
    found = [
        known
        for known in reversed(repository.history().discussions)
        if (known.head is not None) in wanted
        and query.get("author") in (None, known.author)
        and query.get("status", "all") in ("all", "open" if known.status in ("open", "draft") else "closed")
    ]
    start = _PAGE * _number(query.get("p", ""))
    shown = [_summary(repository, known) for known in found[start : start + _PAGE]]
    return json_response({"count": len(found), "start": start, "discussions": shown})


def _number(text: str) -> int:
    # There is no discussion 0, and a page without a number is the first one.
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0


def _summary(repository: Repository, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": timestamp(discussion.date),
        "status": discussion.status,
        "isPullRequest": discussion.head is not None,
        "repo": {"name": repository.repo_id, "type": repository.repo_type},
    }


def _details(repository: Repository, discussion: Discussion) -> dict[str, Any]:
    details = {**_summary(repository, discussion), "events": [_event(known) for known in discussion.events]}
    if discussion.head is not None:
        changes = {"base": f"refs/heads/{discussion.base}", "mergeCommitId": discussion.merged_as}
        history = repository.history()
        details |= {
            "changes": changes,
            "filesWithConflicts": _conflicts(history, discussion) if discussion.status != "merged" else [],
            "diff": "",
        }
    return details


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": f"{int(event.date.timestamp() * 1e6):024x}",
        "type": event.kind,
        "author": {"name": event.author},
        "createdAt": timestamp(event.date),
        "data": dict(event.data),
    }


def _comment(author: str, text: str) -> Event:
    return Event("comment", author, now(), {"edited": False, "hidden": False, "latest": {"raw": text}})


def _retitled(discussion: Discussion, author: str, title: str) -> Discussion:
    if len(title) < 3:
        raise RefusedError(400, "Invalid title: expected at least 3 characters")
    event = Event("title-change", author, now(), {"from": discussion.title, "to": title})
    return replace(discussion, title=title, events=(*discussion.events, event))


def _with_status(discussion: Discussion, author: str, status: Any, said: str) -> Discussion:
    said_first = (_comment(author, said),) if said else ()
    event = Event("status-change", author, now(), {"status": status})
    return replace(discussion, status=status, events=(*discussion.events, *said_first, event))


def _merged(history: History, request: Discussion, author: str, said: str) -> History:
    if request.head is None or request.status in ("merged", "closed"):
        raise RefusedError(400, f"Discussion {request.num} is not an open pull request")
    conflicts = _conflicts(history, request)
    if conflicts:
        raise RefusedError(409, f"Cannot merge {request.ref}: conflicts in {', '.join(conflicts)}")
    base, head = history.find(request.base), history.commits[request.head]
    files = dict(base.files)
    for path in _changed_paths(history, request):
        if path in head.files:
            files[path] = head.files[path]
        else:
            files.pop(path, None)
    text = CommitText(f"{request.title} (#{request.num})", said, author, now())
    merge = made_snapshot(files, (base, head), text)
    closed = _with_status(request, author, "merged", said)
    return history.committed(request.base, merge).discussed(replace(closed, merged_as=merge.commit))


def _conflicts(history: History, request: Discussion) -> list[str]:
    """Return the paths that the pull request and its branch have changed differently."""
    base, start, head = history.find(request.base), _start(history, request), history.commits[request.head or ""]
    return [
        path
        for path in sorted(_changed_paths(history, request))
        if _etag(base.files, path) not in (_etag(start, path), _etag(head.files, path))
    ]


def _changed_paths(history: History, request: Discussion) -> set[str]:
    start, head = _start(history, request), history.commits[request.head or ""].files
    return {path for path in {*start, *head} if _etag(start, path) != _etag(head, path)}


def _start(history: History, request: Discussion) -> dict[str, ServedFile]:
    """Return the files at the commit where the pull request branched off."""
    own = {commit.commit for commit in history.log(history.find(request.base))}
    common = (commit for commit in history.log(history.commits[request.head or ""]) if commit.commit in own)
    found = next(common, None)
    return dict(found.files) if found is not None else {}


def _etag(files: Any, path: str) -> str | None:
    file = files.get(path)
    return file.etag if file is not None else None
