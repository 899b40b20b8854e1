"""Locking a declaration: hashes that the Hub reports are used, other files are fetched once and hashed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.environment.project import Alias
from modelenv.errors import ModelDownloadError, ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from modelenv.fetching.resolving import Locker
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile, format_lockfile
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

DECLARED = {"m": Alias(ModelRef("acme/model"), "sentiment")}


@pytest.fixture
def source(hub: EmbeddedHub, make_model: MakeModel) -> Path:
    source = make_model(id2label={"0": "BAD", "1": "GOOD"})
    (source / "README.md").write_text("for people")
    (source / "pytorch_model.bin").write_bytes(b"the same weights once more")
    hub.add(source, "acme/model")
    return source


@pytest.fixture
def locker(store: Store) -> Locker:
    return Locker(store, 20)


def test_a_lock_holds_each_files_size_and_hash(hub: EmbeddedHub, source: Path, locker: Locker) -> None:
    [locked] = locker.lock(DECLARED, Lockfile()).models
    assert [file.path for file in locked.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    for file in locked.files:
        content = (source / file.path).read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert dict(locked.facts) == {"labels": ("BAD", "GOOD"), "model_type": "bert"}
    asked = sorted((request.method, request.file) for request in hub.requests if request.kind == "resolve")
    assert asked == [("GET", "config.json"), ("GET", "tokenizer.json")]  # the Hub reports the hash of the weights


def test_the_same_models_give_the_same_text(source: Path, locker: Locker, tmp_path: Path) -> None:
    first = format_lockfile(locker.lock(DECLARED, Lockfile()))
    assert format_lockfile(Locker(Store(tmp_path / "other"), 20).lock(DECLARED, Lockfile())) == first


def test_an_unchanged_declaration_keeps_its_commit_without_requests(
    hub: EmbeddedHub, source: Path, locker: Locker
) -> None:
    lock = locker.lock(DECLARED, Lockfile())
    (source / "config.json").write_text('{"model_type": "bert", "new": 1}')
    hub.add(source, "acme/model")
    hub.clear()
    assert locker.lock(DECLARED, lock) == lock
    retasked = locker.lock({"m": replace(DECLARED["m"], task="ner")}, lock).models[0]
    assert (retasked.task, retasked.commit) == ("ner", lock.models[0].commit)
    hub.assert_no_requests()


def test_an_upgrade_moves_to_the_newest_commit(hub: EmbeddedHub, source: Path, locker: Locker) -> None:
    lock = locker.lock(DECLARED, Lockfile())
    assert locker.lock(DECLARED, lock, upgrade={"m"}) == lock
    (source / "config.json").write_text('{"model_type": "bert", "new": 1}')
    commit = hub.add(source, "acme/model").commit
    assert locker.newest(lock.models[0]) == commit
    [upgraded] = locker.lock(DECLARED, lock, upgrade={"m"}).models
    assert upgraded.commit == commit != lock.models[0].commit


def test_another_revision_is_resolved_again(hub: EmbeddedHub, source: Path, locker: Locker) -> None:
    lock = locker.lock(DECLARED, Lockfile())
    commit = lock.models[0].commit
    [pinned] = locker.lock({"m": Alias(ModelRef("acme/model", commit))}, lock).models
    assert (pinned.revision, pinned.commit) == (commit, commit)
    with pytest.raises(ModelNotFoundError, match="has this model, but not its revision 'v9'"):
        locker.lock({"m": Alias(ModelRef("acme/model", "v9"))}, lock)


def test_patterns_choose_the_files(source: Path, locker: Locker) -> None:
    declared = {"m": Alias(ModelRef("acme/model"), files=("*.json", "*.md"))}
    [locked] = locker.lock(declared, Lockfile()).models
    assert [file.path for file in locked.files] == ["README.md", "config.json", "tokenizer.json"]
    with pytest.raises(ModelIntegrityError) as caught:
        locker.lock({"m": Alias(ModelRef("acme/model"), files=("*.gguf",))}, Lockfile())
    assert str(caught.value).startswith(
        "acme/model: no file in the repo matches the declared patterns\n  expected: *.gguf\n  found: "
    )


def test_pickled_weights_are_not_locked(hub: EmbeddedHub, source: Path, locker: Locker) -> None:
    (source / "model.safetensors").unlink()
    hub.add(source, "acme/pickled")
    with pytest.raises(UnsafeModelError, match="its weights are pickled") as caught:
        locker.lock({"m": Alias(ModelRef("acme/pickled"))}, Lockfile())
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("list its files in `files`, and load it with allow_pickle=True")
    [named] = locker.lock({"m": Alias(ModelRef("acme/pickled"), files=("*",))}, Lockfile()).models
    assert "pytorch_model.bin" in [file.path for file in named.files]


@pytest.mark.slow
def test_a_failing_hub_does_not_change_the_lock(hub: EmbeddedHub, locker: Locker) -> None:
    hub.stop()
    with pytest.raises(ModelDownloadError, match="could not be fetched from"):
        locker.lock(DECLARED, Lockfile())


def test_a_damaged_file_is_not_locked(hub: EmbeddedHub, source: Path, locker: Locker) -> None:
    with hub.fail(flip_byte=3, file="tokenizer.json"), pytest.raises(ModelIntegrityError) as caught:
        locker.lock(DECLARED, Lockfile())
    assert str(caught.value).startswith(
        "acme/model: tokenizer.json arrived damaged twice\n  expected: 18 bytes with the hash "
    )
    assert locker.lock(DECLARED, Lockfile()).models


def test_files_that_were_fetched_for_hashing_are_not_fetched_again(
    hub: EmbeddedHub, source: Path, lock: Lock, tmp_path: Path
) -> None:
    from modelenv.deadlines import Deadline
    from modelenv.loading.locked_folder import obtain_locked
    from modelenv.store.checks import Checks

    obtain_locked(Store(tmp_path / "locking"), lock(), Deadline(20), fetches=True, checks=Checks())
    assert [request.file for request in hub.requests] == ["model.safetensors"]
