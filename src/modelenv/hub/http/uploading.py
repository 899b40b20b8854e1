"""The handlers of a push: the upload mode of each file, the upload of large files, and the commit."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect

from modelenv.hub.http.authorization import (
    Asked,
    check_author,
    check_not_merged,
    check_write,
    check_writing_token,
    no_revision,
    visible,
)
from modelenv.hub.http.changes import Change, CommitHeader, apply_changes, read_change, read_header
from modelenv.hub.http.discussions import new_discussion
from modelenv.hub.http.patterns import ignored, stored_with_lfs
from modelenv.hub.http.responses import RefusedError, is_true, json_response
from modelenv.hub.http.writing import now, read_json, read_object, repository_url
from modelenv.hub.repos.blobs import BlobStore, Incoming
from modelenv.hub.repos.commits import MAIN, CommitText, made_snapshot
from modelenv.hub.repos.content import LFS_SIZE
from modelenv.hub.repos.facts import card_problems
from modelenv.hub.repos.history import History, UnknownRevisionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container

    from starlette.responses import Response

    from modelenv.hub.accounts import Account
    from modelenv.hub.http.cdn import Signer
    from modelenv.hub.repos.commits import Snapshot
    from modelenv.hub.repos.repositories import Repositories, Repository

# A line of a commit contains a regular file in base64.
_LINE_LIMIT = 2 * LFS_SIZE


@dataclass(frozen=True)
class Uploading:
    """The handlers of pushes."""

    repositories: Repositories
    blobs: BlobStore
    signer: Signer

    def validate_card(self, asked: Asked) -> Response:
        """Return the errors and warnings for the metadata of a card."""
        errors, warnings = card_problems(str(read_object(asked.body).get("content", "")))
        value = {
            "errors": [{"message": text} for text in errors],
            "warnings": [{"message": text} for text in warnings],
        }
        return json_response(value, status=400 if errors else 200)

    def preupload(self, asked: Asked) -> Response:
        """Return for each file whether it is stored with LFS, is ignored, or already exists."""
        repository = self._target(asked)
        branch = asked.call.revision or MAIN
        snapshot = _branch_head(repository.history(), branch)
        value = read_object(asked.body)
        gitignore = value.get("gitIgnore")
        if gitignore is None:
            gitignore = _text(snapshot, ".gitignore")
        attributes = _text(snapshot, ".gitattributes")
        files = value.get("files")
        if not isinstance(files, list) or not all(_is_file(file) for file in files):
            raise RefusedError(400, "Invalid body: expected files, each with path, sample and size")
        return json_response({"files": [_mode(file, snapshot, attributes, str(gitignore)) for file in files]})

    def lfs_batch(self, asked: Asked) -> Response:
        """Return the upload URLs of large files (git-lfs batch API). Files already in the repository have none."""
        repository = self._target(asked, create_pr=True)
        value = read_object(asked.body)
        if value.get("operation") != "upload":
            raise RefusedError(501, f"LFS {value.get('operation')} is not served by the embedded Hub of modelenv")
        items = value.get("objects", [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise RefusedError(400, "Invalid body: expected objects, each with oid and size")
        verify = f"{repository_url(asked, repository.repo_id, repository.repo_type)}.git/info/lfs/objects/verify"
        known = repository.history().lfs_files()
        objects = [self._instructions(asked, known, item, verify) for item in items]
        return json_response(
            {"transfer": "basic", "objects": objects}, headers={"Content-Type": "application/vnd.git-lfs+json"}
        )

    def lfs_verify(self, asked: Asked) -> Response:
        """Check that a large file was uploaded."""
        self._target(asked, create_pr=True)
        value = read_object(asked.body)
        location = self.blobs.find(str(value.get("oid")))
        if location is None or location.stat().st_size != value.get("size"):
            raise RefusedError(404, f"LFS object {value.get('oid')} was not uploaded")
        return json_response({})

    async def lfs_upload(self, asked: Asked) -> Response:
        """Store a large file piece by piece, if its URL is signed and its content matches."""
        oid = asked.call.file or ""
        size = asked.request.query_params.get("size", "")
        if not self.signer.valid(f"{oid} {size}", asked.request.query_params.get("signature")):
            raise RefusedError(403, "This upload was not announced")
        incoming = Incoming(self.blobs)
        try:
            async for piece in asked.request.stream():
                incoming.write(piece)
        except ClientDisconnect:
            incoming.drop()
            raise
        if not incoming.finish(oid, int(size)):
            raise RefusedError(400, f"The content is not that of {oid}, or not of {size} bytes")
        return json_response({}, headers={"ETag": f'"{oid}"'})

    async def commit(self, asked: Asked) -> Response:
        """Create a commit from the lines of the body."""
        await asyncio.to_thread(self._target, asked)  # check the permission before any content is stored
        header: CommitHeader | None = None
        changes: list[Change] = []
        async for line in _lines(asked.request.stream()):
            if header is None:
                header = read_header(_item(line))
            else:
                changes.append(await asyncio.to_thread(self._change, line))
        if header is None:
            raise RefusedError(400, "Invalid body: expected a header line")
        return await asyncio.to_thread(self._committed, asked, header, changes)

    def _change(self, line: bytes) -> Change:
        return read_change(_item(line), self.blobs)

    def _committed(self, asked: Asked, header: CommitHeader, changes: list[Change]) -> Response:
        repository = self._target(asked)
        visitor = check_writing_token(asked)
        create_pr = is_true(asked.request.query_params.get("create_pr"))
        branch = asked.call.revision or MAIN

        def committed(history: History) -> History:
            parent = _parent(history, branch, header.parent, create_pr=create_pr)
            files = apply_changes(parent.files, changes, self.blobs, history)
            text = CommitText(header.title, header.message, visitor.name, now())
            snapshot = made_snapshot(files, (parent,), text)
            if not create_pr:
                return history.committed(branch, snapshot)
            return _proposed(history, snapshot, branch, visitor)

        history = repository.change(committed)
        url = repository_url(asked, repository.repo_id, repository.repo_type)
        opened = history.discussions[-1] if create_pr else None
        oid = opened.head if opened is not None else history.find(branch).commit
        answer: dict[str, Any] = {"success": True, "commitOid": oid, "commitUrl": f"{url}/commit/{oid}"}
        if opened is not None:
            answer["pullRequestUrl"] = f"{url}/discussions/{opened.num}"
        return json_response({**answer, "hookOutput": ""})

    def _target(self, asked: Asked, *, create_pr: bool = False) -> Repository:
        repository = visible(self.repositories, asked)
        request = repository.history().pull_request(asked.call.revision or "")
        if create_pr or is_true(asked.request.query_params.get("create_pr")):
            check_writing_token(asked)  # everyone who can read the repository can open a pull request
        elif request is not None:
            check_author(asked, repository.repo_id, request)
        else:
            check_write(asked, repository.repo_id)
        return repository

    def _instructions(self, asked: Asked, known: Container[str], item: dict[str, Any], verify: str) -> dict[str, Any]:
        oid, size = str(item.get("oid")), item.get("size")
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if not (len(oid) == 64 and oid.isalnum()) or not isinstance(size, int) or size < 0:
            return {**answer, "error": {"code": 422, "message": "Invalid oid or size"}}
        if oid in known:
            return answer
        signature = self.signer.sign(f"{oid} {size}")
        href = f"{asked.request.base_url}lfs-objects/{oid}/upload?size={size}&signature={signature}"
        return {**answer, "actions": {"upload": {"href": href}, "verify": {"href": verify}}}


def _proposed(history: History, snapshot: Snapshot, base: str, visitor: Account) -> History:
    discussion = new_discussion(history, snapshot.title, visitor.name, snapshot.message)
    opened = history.discussed(discussion.as_request(base, snapshot.parents[0]))
    return opened.committed(discussion.ref, snapshot)


def _parent(history: History, branch: str, parent: str | None, *, create_pr: bool) -> Snapshot:
    """Return the parent of the new commit: the head of the branch, or the given commit for a new pull request."""
    head = _branch_head(history, branch, base_of_request=create_pr)
    if parent is None or head.commit.startswith(parent):
        return head
    if not create_pr:
        message = "The branch was updated since you opened this page. Please refresh and try again."
        raise RefusedError(412, message)
    try:
        return history.find(parent)
    except UnknownRevisionError as error:
        raise no_revision(parent) from error


def _branch_head(history: History, branch: str, *, base_of_request: bool = False) -> Snapshot:
    request = history.pull_request(branch) if not base_of_request else None
    if branch not in history.branches and request is None:
        raise no_revision(branch)
    if request is not None:
        check_not_merged(request)
    return history.find(branch)


def _is_file(file: object) -> bool:
    return isinstance(file, dict) and "path" in file and isinstance(file.get("size", 0), int)


def _mode(file: dict[str, Any], snapshot: Snapshot, attributes: str, gitignore: str) -> dict[str, Any]:
    path, size = str(file["path"]), file.get("size", 0)
    try:
        sample = base64.b64decode(file.get("sample", ""), validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise RefusedError(400, f"Invalid sample of {path}") from error
    # The Hub requires LFS for binary files of any name. Like git, detect them by a NUL byte.
    large = stored_with_lfs(path, attributes) or size > LFS_SIZE or b"\0" in sample
    present = snapshot.files.get(path)
    return {
        "path": path,
        "uploadMode": "lfs" if large else "regular",
        "shouldIgnore": ignored(path, gitignore),
        "oid": present.etag if present is not None else None,
    }


def _text(snapshot: Snapshot, path: str) -> str:
    file = snapshot.files.get(path)
    return file.found.location.read_text("utf-8", "replace") if file is not None else ""


def _item(line: bytes) -> dict[str, Any]:
    item = read_json(line)
    if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
        raise RefusedError(400, "Invalid body: expected lines of JSON objects with key and value")
    return item


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a body, with at most one of them in memory."""
    rest = bytearray()
    async for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            yield bytes(rest) + piece[start:end]
            rest.clear()
            start = end + 1
        rest += piece[start:]
        if len(rest) > _LINE_LIMIT:
            raise RefusedError(413, "A line of this commit is too long: send files of more than 10 MB with LFS")
    if rest.strip():
        yield bytes(rest)
