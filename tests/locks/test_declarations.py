"""Comparing declarations with a lock, and two locks: every difference is named."""

from __future__ import annotations

from dataclasses import replace

from modelenv.environment.project import Alias
from modelenv.locks.declarations import Change, changes, disagreements, is_as_declared
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.references import ModelRef

ONE, TWO = "1" * 40, "2" * 40


def file(path: str, digit: str = "0") -> LockedFile:
    return LockedFile(path, 1, digit * 64, digit * 40)


MODEL = LockedModel("m", "acme/model", None, ONE, "sentiment", (file("config.json"), file("vocab.txt")))
ALIAS = Alias(ModelRef("acme/model"), "sentiment")


def said(declared: dict[str, Alias], *models: LockedModel) -> list[str]:
    return [str(each) for each in disagreements(declared, Lockfile(models))]


def test_agreement() -> None:
    assert said({"m": ALIAS}, MODEL) == []
    assert is_as_declared(ALIAS, MODEL)


def test_every_disagreement_is_named() -> None:
    assert said({"m": ALIAS}) == ["m: not locked (declared acme/model)"]
    assert said({}, MODEL) == ["m: locked, but not declared (locked acme/model)"]
    other = Alias(ModelRef("acme/other", "v2"), None, ("*.json",))
    assert said({"m": other}, MODEL) == [
        "m: another repo (declared acme/other, locked acme/model)",
        "m: another revision (declared v2, locked the default branch)",
        "m: another task (declared no task, locked sentiment)",
        "m: other files (declared *.json, locked no patterns)",
    ]
    assert not is_as_declared(other, MODEL)


def test_another_task_alone_moves_no_commit() -> None:
    assert is_as_declared(replace(ALIAS, task="ner"), MODEL)


def test_changes_name_commits_and_files() -> None:
    new = replace(MODEL, commit=TWO, files=(file("config.json", "1"), file("added.json")))
    [change] = changes(Lockfile((MODEL,)), Lockfile((new,)))
    assert change == Change("m", ONE, TWO, ("+ added.json", "~ config.json", "- vocab.txt"))
    assert str(change) == ("m: commit 111111111111 -> 222222222222\n  + added.json\n  ~ config.json\n  - vocab.txt")


def test_new_removed_and_only_another_task() -> None:
    assert [str(each) for each in changes(Lockfile(), Lockfile((MODEL,)))] == ["m: new, commit 111111111111, 2 files"]
    assert [str(each) for each in changes(Lockfile((MODEL,)), Lockfile())] == ["m: removed, was commit 111111111111"]
    [change] = changes(Lockfile((MODEL,)), Lockfile((replace(MODEL, task="ner"),)))
    assert change.other
    assert str(change) == "m: commit 111111111111 as before"
    assert changes(Lockfile((MODEL,)), Lockfile((MODEL,))) == ()
