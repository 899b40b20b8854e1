"""Offline mode with an incomplete model in the store: the error names the missing file and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.errors import ModelIntegrityError
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

REF = ModelRef("acme/model")
WHAT = "the model in the store is incomplete, and offline mode is on, so the rest was not downloaded"


@pytest.fixture
def snapshot(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> Path:
    """A complete model in the store."""
    hub.add(make_model(), "acme/model")
    return find_or_fetch_model(store, REF, Deadline(30)).path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("listed", [True, False], ids=["with a listing", "without one"])
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_a_broken_link(
    hub: EmbeddedHub, store: Store, snapshot: Path, name: str, listed: bool, variable: str
) -> None:
    target = (snapshot / name).readlink()
    (snapshot / name).resolve().unlink()
    if not listed:
        [tree] = snapshot.parent.parent.glob("trees/*.json")
        tree.unlink()
    hub.clear()
    with environment({"HF_HUB_OFFLINE": None, variable: "1"}), pytest.raises(ModelIntegrityError) as caught:
        find_or_fetch_model(store, REF, Deadline(30))
    hub.assert_no_requests()
    assert str(caught.value) == (
        f"acme/model: {WHAT}\n"
        f"  found: {snapshot / name} is a link to {target}, which does not exist\n"
        f"  what to do: unset {variable}, so that the rest is downloaded, or copy the whole folder of the model, "
        "with the blobs that its links lead to"
    )
    assert find_or_fetch_model(store, REF, Deadline(30)).fetched is not None  # as the error says


def test_several_broken_links_and_a_missing_file(store: Store, snapshot: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (snapshot / name).resolve().unlink()
    with environment({"HF_HUB_OFFLINE": "1"}):
        with pytest.raises(ModelIntegrityError, match=r"which does not exist \(and 1 more\)"):
            find_or_fetch_model(store, REF, Deadline(30))
        for path in list(snapshot.iterdir()):
            if path.name != "tokenizer.json":
                path.unlink()
        (snapshot / "tokenizer.json").unlink()
        with pytest.raises(ModelIntegrityError) as caught:
            find_or_fetch_model(store, REF, Deadline(30))
    assert (caught.value.what, caught.value.found) == (
        WHAT,
        f"in {snapshot}, missing or incomplete: config.json, model.safetensors, tokenizer.json",
    )


def test_a_locked_model(hub: EmbeddedHub, store: Store, make_model: MakeModel, lock: Lock) -> None:
    hub.add(make_model(), "acme/model")
    locked = lock()
    path = obtain_locked(store, locked, Deadline(30), fetches=True, checks=Checks()).path
    (path / "config.json").resolve().unlink()
    with environment({"HF_HUB_OFFLINE": "1"}), pytest.raises(ModelIntegrityError) as caught:
        obtain_locked(store, locked, Deadline(30), fetches=True, checks=Checks())
    size = next(file.size for file in locked.files if file.path == "config.json")
    assert str(caught.value) == (
        "acme/model: its files do not match the lock: 1 missing\n"
        f"  expected: config.json with {size} bytes\n"
        f"  found: in {path}: missing config.json: expected {size} bytes, "
        "found a link to a file that does not exist\n"
        "  what to do: unset HF_HUB_OFFLINE, or run `modelenv pull` while the Hub can be reached"
    )
    assert obtain_locked(store, locked, Deadline(30), fetches=True, checks=Checks()).path == path
