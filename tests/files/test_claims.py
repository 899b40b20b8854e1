"""The store's records of which locks need a snapshot, and what modelenv created."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from modelenv.files.claims import Claims, Made, claimant_of
from modelenv.references import ModelRef
from modelenv.store.store import Store

REF, COMMIT = ModelRef("acme/model"), "a" * 40


def test_a_claimant_is_a_lock_on_a_machine(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    name = claimant_of(tmp_path / "modelenv.lock")
    assert name == f"{os.uname().nodename}:{os.path.realpath(tmp_path)}/modelenv.lock"
    assert claimant_of(tmp_path / "link/modelenv.lock") == name
    assert claimant_of(None) is None


def test_each_lock_has_its_own_claim(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "side", COMMIT)
    assert (claims.holds("one"), claims.others("one"), claims.others(None)) == (False, 0, 0)
    for name in ("one", "two", "one"):
        claims.claim(name)
    assert (claims.holds("one"), claims.others("one"), claims.others("three"), claims.others(None)) == (True, 1, 2, 2)
    claims.withdraw("one")
    claims.withdraw("one")
    assert (claims.holds("one"), claims.others("two")) == (False, 0)
    claims.add(Made(frozenset({"a"})))
    claims.forget()
    claims.forget()
    assert list((tmp_path / "side").iterdir()) == []


def test_records_of_what_was_created_add_up(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "side", COMMIT)
    assert claims.made() is None
    claims.add(Made(frozenset({"b"}), frozenset({"main"})))
    claims.add(Made(frozenset({"a/c"})))
    assert claims.made() == Made(frozenset({"a/c", "b"}), frozenset({"main"}))


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "files": []}', "\xff", "[" * 100_000])
def test_a_damaged_record_is_unknown(tmp_path: Path, content: str) -> None:
    claims = Claims(tmp_path, COMMIT)
    claims.add(Made(frozenset({"a"})))
    [path] = tmp_path.iterdir()
    path.write_text(content, encoding="latin-1")
    assert claims.made() is None


def test_a_claim_that_cannot_be_written_does_not_fail_a_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, claimant="one")
    store.side(REF).parent.mkdir(parents=True)
    store.side(REF).write_text("a file in the place of a folder")
    with caplog.at_level(logging.INFO, "modelenv"):
        store.claim(REF, COMMIT)
    assert f"acme/model: cannot record that this project needs commit {COMMIT[:12]}: " in caplog.text
    Store(tmp_path).claim(REF, COMMIT)  # no lock, no claim
