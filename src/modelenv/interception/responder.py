"""Decides what happens to a request to the Hub: it is answered from the lock, passed through, or refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from modelenv.errors import ModelNotFoundError
from modelenv.interception.counts import Counts, Unlocked
from modelenv.interception.files import Files
from modelenv.interception.locked_repos import LockedCommit, LockedRepos
from modelenv.interception.replies import Reply
from modelenv.interception.responses import (
    FIELDS,
    absent_reply,
    file_reply,
    info_reply,
    paths_reply,
    tree_reply,
)
from modelenv.interception.routes import Call, is_about_users, read_call, written_repo

logger = logging.getLogger("modelenv")
_TRUE = ("true", "1")


@dataclass(frozen=True)
class Asked:
    """A request to the Hub.

    Attributes:
        method: The method, in capitals.
        path: The raw path below the endpoint, without the query.
        query: The query.
        headers: The headers, with lowercase names.
        form: The body of a form.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    form: str = ""


@dataclass(frozen=True)
class Responder:
    """Answers requests from a lock.

    Attributes:
        files: Where the files are.
        repos: Returns what is locked now.
        origin: The file that says so, for errors.
        refuses: Whether requests for what is not locked are refused.
        counts: The counts of all requests.
        permission: How to allow what is refused, for errors. Empty if it cannot be allowed.
    """

    files: Files
    repos: Callable[[], LockedRepos]
    origin: str
    refuses: bool
    counts: Counts
    permission: str = ""

    def respond(self, asked: Asked) -> Reply | str | None:
        """Return the response, the raw path to request instead, or None to send the request as it is.

        Raises:
            ModelEnvError: The request is refused, or a locked file cannot be obtained.
        """
        call = read_call(asked.method, asked.path)
        if call is None:
            self._warn_of_write(written_repo(asked.method, asked.path))
            is_refused = self.refuses and is_about_users(asked.path)
            return absent_reply(asked.path) if is_refused else None
        repos = self.repos()
        commit = repos.find(call.repo, call.revision) if call.repo_type == "model" else None
        if commit is None:
            self._not_locked(call, repos, asked)
            return None
        reply = self._reply(call, commit, asked)
        if reply is not None:
            self.counts.count_answer(commit.model.repo)
            return reply
        what = Unlocked(call.repo, call.revision, call.path if call.kind == "file" else call.kind)
        if self.refuses and call.kind == "file":
            self.counts.count_refused(what)
            reason = f"{call.path} is not one of the files of {call.repo} in {self.origin}"
            return absent_reply(call.path, reason)
        if self.refuses:
            raise self._refusal(what, asked, "request information that only the Hub has outside of this environment")
        self._pass(what)
        return call.at(commit.model.commit)

    def _warn_of_write(self, repo: str | None) -> None:
        if repo is not None and self.repos().revisions(repo) and self.counts.count_write(repo):
            logger.warning(
                "%s is locked, and this program writes to it. It reads the locked commit, which can be an old one: "
                "call modelenv.uninstall() before it reads what it changes", repo,
            )  # fmt: skip

    def _reply(self, call: Call, commit: LockedCommit, asked: Asked) -> Reply | None:
        """Return the response, or None if the lock does not give it."""
        query = parse_qs(asked.query)
        if call.kind == "file":
            return self._file(call, commit, asked)
        self.files.check(commit)  # after this, the client can load what it finds in the cache without a request
        if call.kind == "paths-info":
            form = parse_qs(asked.form)
            is_plain = not any(value.lower() in _TRUE for value in form.get("expand", ()))
            return paths_reply(commit, form.get("paths", ())) if is_plain else None
        if call.kind == "info":
            expand = query.get("expand", [])
            if not FIELDS.issuperset(expand) or "securityStatus" in query:
                return None
            return info_reply(commit, blobs=_is_true(query, "blobs"), expand=expand)
        if _is_true(query, "expand"):
            return None
        return tree_reply(commit, call.path, recursive=_is_true(query, "recursive"))

    def _file(self, call: Call, commit: LockedCommit, asked: Asked) -> Reply | None:
        sha = commit.model.commit
        file = commit.files.get(call.path)
        if file is not None:
            return file_reply(asked.method, sha, file, self.files.path(commit, file), asked.headers)
        if commit.is_absent(call.path) or self.files.is_known_absent(commit, call.path):
            return absent_reply(call.path)
        known = self.files.unlocked(commit, call.path)
        return None if known is None else file_reply(asked.method, sha, *known, asked.headers)

    def _not_locked(self, call: Call, repos: LockedRepos, asked: Asked) -> None:
        repo = call.repo if call.repo_type == "model" else f"{call.repo_type}s/{call.repo}"
        what = Unlocked(repo, call.revision)
        if not self.refuses:
            self._pass(what)
            return
        if call.repo_type != "model":
            raise self._refusal(what, asked, f"copy the {call.repo_type} to where it is used, and load it from there")
        revisions = repos.revisions(call.repo)
        if revisions:
            hint = f"use the locked revision, {' or '.join(revisions)}, or lock this one under another alias"
        else:
            hint = "declare the model in [tool.modelenv.models], then run `modelenv lock`"
        raise self._refusal(what, asked, hint)

    def _pass(self, what: Unlocked) -> None:
        if self.counts.count_passed(what):
            logger.info("%s is not locked, so it is requested from the Hub", what)

    def _refusal(self, what: Unlocked, asked: Asked, hint: str) -> ModelNotFoundError:
        self.counts.count_refused(what)
        return ModelNotFoundError(
            "not locked, and requests for what is not locked are refused here",
            model=str(what),
            expected=f"a model and revision in {self.origin}",
            found=f"{asked.method} {asked.path}",
            hint=f"{hint}; or allow it: {self.permission}" if self.permission else hint,
        )


def _is_true(query: Mapping[str, list[str]], name: str) -> bool:
    return query.get(name, [""])[-1].lower() in _TRUE
