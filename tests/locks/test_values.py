"""The values of a lock are validated when built, hashable, and can be sent to another process."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import Facts, LockedFile, LockedValueError

from ..fuzz.examples import BLOB, FINBERT, LOCKFILE, SHA

FILE = LockedFile("config.json", 1, SHA, BLOB)


def test_values_are_hashable_and_cross_processes() -> None:
    assert pickle.loads(pickle.dumps(LOCKFILE)) == LOCKFILE
    assert hash(pickle.loads(pickle.dumps(LOCKFILE))) == hash(LOCKFILE)
    assert repr(Facts({"b": [], "a": 1})) == "Facts({'a': 1, 'b': ()})"
    assert len(FINBERT.facts) == 6


@pytest.mark.parametrize(
    ("build", "where"),
    [
        (lambda: replace(FILE, path="a/../b"), ("path",)),
        (lambda: replace(FILE, path=b"a"), ("path",)),
        (lambda: replace(FILE, size=10**5000), ("size",)),
        (lambda: replace(FILE, sha256=None), ("sha256",)),
        (lambda: replace(FINBERT, files=()), ("files",)),
        (lambda: replace(FINBERT, files=(FILE, FILE)), ("files", 1, "path")),
        (lambda: replace(FINBERT, facts={"a": float("nan")}), ("facts", "a")),
        (lambda: replace(FINBERT, facts={"a": ["", "\ud800"]}), ("facts", "a", 1)),
        (lambda: replace(FINBERT, facts={"a": "\ud800"}), ("facts", "a")),
        (lambda: replace(FINBERT, facts={"a": {}}), ("facts", "a")),
        (lambda: replace(FINBERT, facts={"A b": 1}), ("facts", "A b")),
        (lambda: Lockfile((FINBERT, FINBERT)), ("models", 1, "alias")),
    ],
)
def test_an_invalid_value_cannot_be_built(build: object, where: tuple[str | int, ...]) -> None:
    with pytest.raises(LockedValueError) as caught:
        build()  # type: ignore[operator]
    assert caught.value.where == where
    assert pickle.loads(pickle.dumps(caught.value)).where == where
