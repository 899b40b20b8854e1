"""A repo in another format is refused by its listing, before any fetch. Declared files are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ModelIntegrityError
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.model_folder import check_model_folder
from modelenv.store.store import Store

from .conftest import Lock


@pytest.fixture
def onnx(hub: EmbeddedHub, tmp_path: Path) -> None:
    """A repo of the Hub with only an ONNX model."""
    (tmp_path / "repo" / "onnx").mkdir(parents=True)
    (tmp_path / "repo" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "repo" / "onnx" / "model.onnx").write_bytes(b"weights")
    hub.add(tmp_path / "repo", "acme/onnx")


@pytest.mark.usefixtures("onnx")
def test_nothing_of_it_is_fetched(hub: EmbeddedHub, store: Store, lock: Lock) -> None:
    with pytest.raises(
        ModelIntegrityError, match="it contains ONNX files, which no transformers pipeline loads"
    ) as caught:
        find_or_fetch_model(store, ModelRef("acme/onnx"), Deadline(30))
    assert caught.value.found == f"onnx/model.onnx in {hub.endpoint}/acme/onnx"
    with pytest.raises(ModelIntegrityError, match="it contains ONNX files"):
        lock("acme/onnx")
    assert [request.file for request in hub.requests if request.kind == "resolve"] == []


@pytest.mark.usefixtures("onnx")
def test_its_files_are_locked_and_fetched_as_the_error_says(store: Store, lock: Lock) -> None:
    locked = lock("acme/onnx", files=("*.json", "onnx/*"))
    path = obtain_locked(store, locked, Deadline(30), fetches=True, checks=Checks()).path
    assert (path / "onnx" / "model.onnx").read_bytes() == b"weights"
    with pytest.raises(ModelIntegrityError, match="load it with onnxruntime or optimum") as caught:
        check_model_folder(path, root=store.root, model="acme/onnx")
    assert caught.value.found == f"onnx/model.onnx in {path}"
