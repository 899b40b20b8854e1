"""A Hub that sends names which lead out of the store is refused before anything is written, in every command."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.project import Alias
from modelenv.errors import ModelDownloadError, ModelIntegrityError
from modelenv.fetching.resolving import Locker
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

REF = ModelRef("acme/model")
OTHER = "b" * 40


@pytest.fixture
def source(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    folder = make_model()
    hub.add(folder, "acme/model")
    return folder


def load(store: Store) -> object:
    return find_or_fetch_model(store, REF, Deadline(20)).path


def make_lock(store: Store) -> object:
    return Locker(store, 20).lock({"m": Alias(REF)}, Lockfile())


def ask_for_the_newest(store: Store) -> object:
    locked = LockedModel("m", "acme/model", None, OTHER, None, _any_file())
    return Locker(store, 20).newest(locked)


def _any_file() -> Any:
    from modelenv.locks.values import LockedFile

    return (LockedFile("config.json", 2, "c" * 64, "c" * 64),)


def rooted(value: Any, root: Path) -> Any:
    """Return the value with `ROOT` replaced by an absolute path of this test."""
    if isinstance(value, dict):
        return {name: rooted(item, root) for name, item in value.items()}
    return value.replace("ROOT", str(root)) if isinstance(value, str) else value


def everything(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


ESCAPES = ["../../../../escaped", "ROOT/escaped", "..", "a/b", "a b", "", "a" * 300, "\\escaped"]
COMMITS = [*ESCAPES, OTHER[:-1], OTHER.upper(), f"{OTHER}\u00e9"]


def refused(
    hub: EmbeddedHub, store: Store, act: Callable[[Store], object], tmp_path: Path, **rule: Any
) -> ModelDownloadError:
    """Return the error, after checking that nothing was written outside of the store or under an invalid name."""
    before = everything(tmp_path)
    hub.fail(**rooted(rule, tmp_path))
    with pytest.raises(ModelDownloadError) as caught:
        act(store)
    new = everything(tmp_path) - before
    allowed = [str(store.root), str(tmp_path / "hf")]
    assert [path for path in new if not any(path == place or path.startswith(place + "/") for place in allowed)] == []
    assert not [path for path in new if "escaped" in path]
    assert all(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", path.name) for path in store.root.glob("models--*/blobs/*"))
    assert len(list(store.root.glob("models--*/snapshots/*"))) <= 1
    assert caught.value.hint == (
        "nothing was written with this value; check HF_ENDPOINT, and the proxies and mirrors between here and the Hub"
    )
    return caught.value


@pytest.mark.parametrize("act", [load, make_lock, ask_for_the_newest])
@pytest.mark.parametrize("sha", COMMITS)
def test_an_invalid_commit(
    hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path, act: Callable[[Store], object], sha: str
) -> None:
    error = refused(hub, store, act, tmp_path, lying_fields={"sha": sha})
    assert error.what == "the Hub sent an invalid response: it does not name the right commit"
    assert error.expected == "a commit of 40 hexadecimal digits"
    assert (error.found or "").startswith("sha: ")
    assert len(str(error)) < 500


def test_a_commit_that_was_not_requested(hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path) -> None:
    commit = hub.add(source, "acme/model").commit

    def pinned(store: Store) -> object:
        return find_or_fetch_model(store, ModelRef("acme/model", commit), Deadline(20))

    error = refused(hub, store, pinned, tmp_path, lying_fields={"sha": OTHER})
    assert error.expected == f"commit {commit}"


@pytest.mark.parametrize("status", [None, 404])
@pytest.mark.parametrize("value", [text for text in COMMITS if text.isascii()] + [OTHER])
def test_a_commit_in_a_header(
    hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path, value: str, status: int | None
) -> None:
    headers = {"X-Repo-Commit": value}
    rule: dict[str, Any] = {"lying_headers": headers}
    if status is not None:  # the client notes that the file is not there, under the commit
        rule = {"status": status, "headers": {**headers, "X-Error-Code": "EntryNotFound"}}
    error = refused(hub, store, load, tmp_path, kind="resolve", method="HEAD", **rule)
    assert error.what == "the Hub sent an invalid response: it does not name the right commit"
    assert (error.found or "").startswith("HEAD /acme/model/resolve/")


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag"])
@pytest.mark.parametrize(
    "etag", [*(f'"{text}"' for text in ESCAPES), "../../../../escaped", 'W/"../x"', '"a"b"', '""', "W//escaped"]
)
def test_an_etag_that_is_not_a_plain_name(
    hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path, header: str, etag: str
) -> None:
    error = refused(hub, store, load, tmp_path, kind="resolve", method="HEAD", lying_headers={header: etag})
    assert error.what == "the Hub sent an invalid response: its ETag is not a plain name"
    assert (error.found or "").startswith(f"{header.lower()} of HEAD /acme/model/resolve/")


def test_the_etag_of_a_redirect_is_checked_unless_the_hub_redirects_to_itself(
    hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path
) -> None:
    commit = hub.add(source, "acme/model").commit
    here = f"/acme/model/resolve/{commit}/tokenizer.json"
    headers = {"Location": here, "ETag": 'W/"2f-a/b"'}
    hub.fail(status=307, headers=headers, file="config.json")  # as a Hub that moved the file
    path = find_or_fetch_model(store, REF, Deadline(20)).path
    assert (path / "config.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    hub.clear_faults()
    away = {**headers, "Location": "http://127.0.0.1:9/x", "X-Repo-Commit": commit}
    hub.fail(status=302, headers=away, file="config.json")
    with pytest.raises(ModelDownloadError, match="not a plain name"):
        load(Store(tmp_path / "other"))


@pytest.mark.parametrize(
    "etag", ['"686897696a7c876b7e"', 'W/"686897696a7c"', "686897696a7c", '"d41d8cd98f00b204-5"', '"2f_a.b=c+d"']
)
def test_the_etags_of_mirrors_are_accepted(hub: EmbeddedHub, source: Path, store: Store, etag: str) -> None:
    hub.fail(kind="resolve", method="HEAD", lying_headers={"ETag": etag}, file="tokenizer.json")
    path = find_or_fetch_model(store, REF, Deadline(20)).path
    assert (path / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("oid", ["../../../../escaped", "", "a" * 40, 7])
def test_a_hash_in_a_listing(hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path, oid: str | int) -> None:
    error = refused(hub, store, load, tmp_path, kind="tree", lying_fields={"oid": oid})
    assert error.what == "the Hub sent an invalid response: its listing has no valid sha256 for a file"


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("blobId", "../../../../escaped", "no valid blob id for 'config.json'"),
        ("blobId", "a" * 39, "no valid blob id for 'config.json'"),
        ("sha256", "ROOT/escaped", "no valid blob id for 'model.safetensors'"),
        ("size", -1, "no valid size for 'config.json'"),
        ("size", "9", "no valid size for 'config.json'"),
    ],
)
def test_a_file_in_the_information_for_a_lock(
    hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path, field: str, value: str | int, what: str
) -> None:
    error = refused(hub, store, make_lock, tmp_path, kind="info", lying_fields={field: value})
    assert error.what == f"the Hub sent an invalid response: {what}"
    assert error.model == "acme/model"


@pytest.mark.parametrize("act", [load, make_lock])
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../../../../escaped.json", "a path must not point outside of its folder"),
        ("/escaped.json", "a path must not be absolute"),
        ("a//b.json", "a path must not have an empty part or a '.'"),
        ("a\\b.json", "a path must not contain a backslash"),
    ],
)
def test_a_file_whose_name_leads_out_of_the_repo(
    hub: EmbeddedHub, source: Path, store: Store, tmp_path: Path, act: Callable[[Store], object], name: str, what: str
) -> None:
    names = [name, "config.json", "model.safetensors"]
    siblings = {"siblings": [{"rfilename": each, "size": 2, "blobId": "a" * 40} for each in names]}
    error = refused(hub, store, act, tmp_path, kind="info", lying_fields=siblings)
    assert error.what == f"the Hub sent an invalid response: it lists a file with an invalid name: {what}"
    assert error.found == f"a file: {name!r}"


def test_no_more_than_the_locked_size_is_downloaded(
    hub: EmbeddedHub, make_model: MakeModel, store: Store, lock: Lock
) -> None:
    hub.add(make_model(weights=30_000_000), "acme/model")
    locked = lock()
    small = replace(
        locked,
        files=tuple(replace(file, size=888) if file.path.endswith(".safetensors") else file for file in locked.files),
    )
    written: list[int] = []
    with pytest.raises(ModelIntegrityError) as caught:
        obtain_locked(store, small, Deadline(60), fetches=True, checks=Checks(progress=written.append))
    [file] = [file for file in small.files if file.path.endswith(".safetensors")]
    assert str(caught.value) == (
        "acme/model: model.safetensors arrived damaged twice\n"
        f"  expected: 888 bytes with the hash {file.sha256}\n"
        "  found: more than 888 bytes; the rest was not written\n"
        "  what to do: try again later; if that does not help, the Hub, a proxy or a mirror changes the files"
    )
    assert sum(written) < 30_000_000  # twice: the client takes 10 MiB before it writes
    assert [path.name for path in store.root.rglob("*") if path.is_file() and path.stat().st_size > 888] == []
    path = obtain_locked(store, locked, Deadline(60), fetches=True, checks=Checks()).path
    assert (path / "model.safetensors").stat().st_size > 30_000_000
