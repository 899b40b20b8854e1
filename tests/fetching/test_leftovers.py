"""Our own parts of killed downloads are removed, those of other programs are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from modelenv.deadlines import Deadline
from modelenv.fetching.leftovers import remove_leftovers
from modelenv.hub import EmbeddedHub
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import MakeModel

REF = ModelRef("acme/model")
PARTS = {
    f"{'a' * 64}.0123abcd.incomplete": "of another program",
    f"{'a' * 40}.incomplete": "of an older client, which resumes it",
    f"{'b' * 64}.0123abcd.incomplete": "ours, begun by the client",
    f"{'b' * 64}.0123abcd.modelenv.incomplete": "ours",
    f"{'c' * 64}.0123abcd.incomplete": "of another program that is downloading now",
}


@pytest.fixture
def parts(store: Store) -> Path:
    """A folder of blobs with all kinds of parts."""
    blobs = store.root / "models--acme--model" / "blobs"
    blobs.mkdir(parents=True)
    for name, content in PARTS.items():
        (blobs / name).write_text(content)
    return blobs


def left(parts: Path) -> list[str]:
    return sorted(path.read_text() for path in parts.glob("*.incomplete"))


def test_parts_of_other_programs_stay(hub: EmbeddedHub, store: Store, make_model: MakeModel, parts: Path) -> None:
    hub.add(make_model(), "acme/model")
    find_or_fetch_model(store, REF, Deadline(20))
    remove_leftovers(store, REF)
    assert left(parts) == sorted(text for text in PARTS.values() if text != "ours")


def test_what_a_killed_fetch_of_ours_left_is_removed(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, parts: Path
) -> None:
    hub.add(make_model(), "acme/model")
    note = store.side(REF) / "parts.json"  # the fetch is killed, so the note stays
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps([name for name, text in PARTS.items() if text.startswith("of an")][:2]))
    lock = store.root / ".locks" / "models--acme--model" / ("c" * 64 + ".lock")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):  # another program's client holds this lock while it downloads
        find_or_fetch_model(store, REF, Deadline(20))
    assert left(parts) == sorted(text for text in PARTS.values() if text.startswith("of an"))
    assert not note.exists()
    remove_leftovers(store, REF)
    assert left(parts) == sorted(text for text in PARTS.values() if text.startswith("of an"))


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("content", ["", "{}", "\x00", "[" * 100_000])
def test_with_a_damaged_note_parts_stay(store: Store, parts: Path, content: str) -> None:
    note = store.side(REF) / "parts.json"
    note.parent.mkdir(parents=True)
    note.write_text(content)
    remove_leftovers(store, REF)
    assert left(parts) == sorted(text for text in PARTS.values() if text != "ours")
