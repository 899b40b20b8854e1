"""A model is found without a request, fetched once, always checked, and repaired if it is damaged."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.errors import (
    ConfigurationError,
    ModelDownloadError,
    ModelEnvError,
    ModelIntegrityError,
    ModelLoadTimeoutError,
    ModelNotFoundError,
    UnsafeModelError,
)
from modelenv.fetching.failures import FailureLog
from modelenv.hub import EmbeddedHub
from modelenv.loading.unlocked_folder import find_model, find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import MakeModel

REF = ModelRef("acme/model")


def snapshot_blob(path: Path, name: str) -> Path:
    return Path(os.path.realpath(path / name))


def test_a_model_is_fetched_once_and_then_found_without_a_request(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    source = make_model()
    (source / "README.md").write_text("a readme")
    (source / "pytorch_model.bin").write_bytes(b"a second copy of the weights")
    hub.add(source, "acme/model")
    obtained = find_or_fetch_model(store, REF, Deadline(30))
    names = sorted(path.name for path in obtained.path.iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]
    assert obtained.fetched is not None
    assert obtained.fetched.files == 3
    assert obtained.fetched.requests == len(hub.requests) == 8  # info, tree, and HEAD and GET of each file
    assert obtained.fetched.bytes >= sum(path.stat().st_size for path in obtained.path.iterdir())
    hub.clear()
    assert find_or_fetch_model(store, REF, Deadline(30)).fetched is None
    hub.assert_no_requests()


def test_a_fetched_model_is_found_by_the_hugging_face_libraries(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    from huggingface_hub import snapshot_download

    hub.add(make_model(), "acme/model")
    obtained = find_or_fetch_model(store, REF, Deadline(30))
    hub.clear()
    offline = snapshot_download("acme/model", cache_dir=store.root, local_files_only=True, allow_patterns=["*.json"])
    assert Path(offline) == obtained.path
    hub.assert_no_requests()


def test_many_threads_fetch_once(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    hub.add(make_model(), "acme/model")
    barrier = threading.Barrier(8)

    def obtain(_: int) -> bool:
        barrier.wait(60)
        return find_or_fetch_model(store, REF, Deadline(30)).fetched is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(obtain, range(8))) == 1
    assert sum(request.kind == "resolve" and request.method == "GET" for request in hub.requests) == 3


@pytest.mark.parametrize("repo", ["model", "acme/model"])
def test_the_error_for_a_missing_model_lists_all_places(hub: EmbeddedHub, store: Store, repo: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_or_fetch_model(store, ModelRef(repo), Deadline(30))
    assert str(caught.value).startswith(
        f"{repo}: the Hub has no model with this name, or the model is private\n  found: "
    )
    assert caught.value.tried == (*store.places(ModelRef(repo)), f"{hub.endpoint}/{repo}")
    assert "HF_TOKEN" in str(caught.value)


def test_a_missing_revision(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    hub.add(make_model(), "acme/model")
    with pytest.raises(ModelNotFoundError, match="has this model, but not its revision 'v9'"):
        find_or_fetch_model(store, ModelRef("acme/model", "v9"), Deadline(30))


def test_a_commit_is_fetched_and_found_by_its_hash(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    commit = hub.add(make_model(), "acme/model").commit
    ref = ModelRef.parse("acme/model", commit)
    assert find_or_fetch_model(store, ref, Deadline(30)).path.name == commit
    hub.clear()
    assert find_or_fetch_model(store, ref, Deadline(30)).fetched is None
    hub.assert_no_requests()


def test_a_hub_that_does_not_respond_is_a_download_error(hub: EmbeddedHub, store: Store) -> None:
    hub.stop()
    with pytest.raises(ModelDownloadError) as caught:
        find_or_fetch_model(store, REF, Deadline(30))
    assert f"could not be fetched from {hub.endpoint}" in str(caught.value)
    assert "HF_ENDPOINT" in str(caught.value)


def test_nothing_is_downloaded_in_offline_mode(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    hub.add(make_model(), "acme/model")
    with (
        environment({"HF_HUB_OFFLINE": "1"}),
        pytest.raises(ModelNotFoundError, match="offline mode is on, so it was not downloaded"),
    ):
        find_or_fetch_model(store, REF, Deadline(30))
    hub.assert_no_requests()


def test_errors_do_not_contain_the_token(hub: EmbeddedHub, store: Store) -> None:
    hub.stop()
    with environment({"HF_TOKEN": "hf_abcdefghijklmnop"}), pytest.raises(ModelEnvError) as caught:
        find_or_fetch_model(store, REF, Deadline(30))
    assert "abcdefghijklmnop" not in str(caught.value)


def test_a_slow_download_ends_at_the_deadline(hub: EmbeddedHub, store: Store, make_model: MakeModel) -> None:
    hub.add(make_model(weights=200_000), "acme/model")
    deadline = Deadline(0.5)
    with hub.fail(bytes_per_second=10_000), pytest.raises(ModelLoadTimeoutError) as caught:
        find_or_fetch_model(store, REF, deadline)
    assert "not loaded within 0.5 s\n  found: still fetching it (" in str(caught.value)
    assert find_or_fetch_model(store, REF, Deadline(30)).fetched is not None


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_with_a_flipped_byte_is_fetched_again(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, name: str
) -> None:
    hub.add(make_model(), "acme/model")
    path = find_or_fetch_model(store, REF, Deadline(30)).path
    blob = snapshot_blob(path, name)
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    hub.clear()
    again = find_or_fetch_model(store, REF, Deadline(30))
    assert (again.path / name).read_bytes() == good
    assert [request.file for request in hub.requests if request.method == "GET" and request.file] == [name]


def test_an_incomplete_snapshot_of_a_killed_process_is_completed(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    hub.add(make_model(), "acme/model")
    path = find_or_fetch_model(store, REF, Deadline(30)).path
    (path / "tokenizer.json").unlink()
    shutil.rmtree(store.root / ".locks" / "modelenv")
    again = find_or_fetch_model(store, REF, Deadline(30))
    assert again.fetched is not None
    assert (again.path / "tokenizer.json").is_file()


def test_a_cache_that_another_tool_filled_is_used_without_a_request(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    from huggingface_hub import snapshot_download

    hub.add(make_model(), "acme/model")
    snapshot_download("acme/model", cache_dir=store.root)
    hub.clear()
    assert find_or_fetch_model(store, REF, Deadline(30)).fetched is None
    hub.assert_no_requests()
    found = store.find(REF)
    assert found is not None
    assert found.checked


def test_an_old_cache_without_a_listing_is_used_if_its_files_look_complete(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    from huggingface_hub import snapshot_download

    hub.add(make_model(), "acme/model")
    snapshot_download("acme/model", cache_dir=store.root / "old")
    shutil.rmtree(next((store.root / "old").glob("models--*/trees")))
    moved = Store(store.root / "moved")  # the client remembers listings by their path
    (store.root / "old").rename(moved.root)
    hub.stop()
    assert find_or_fetch_model(moved, REF, Deadline(30)).fetched is None


def test_pickled_weights_are_refused_before_they_are_fetched(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, tmp_path: Path
) -> None:
    source = make_model()
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    hub.add(source, "acme/model")
    failures = FailureLog(tmp_path / "run")
    for _ in range(2):
        with pytest.raises(UnsafeModelError, match=r"pytorch_model\.bin in http"):
            find_or_fetch_model(store, REF, Deadline(30), failures=failures)
    assert [request.kind for request in hub.requests] == ["info"]
    allowed = find_or_fetch_model(store, REF, Deadline(30), allow_pickle=True, failures=failures)
    assert (allowed.path / "pytorch_model.bin").is_file()


def test_a_failure_is_remembered_for_the_run(hub: EmbeddedHub, store: Store, tmp_path: Path) -> None:
    failures = FailureLog(tmp_path / "run")
    with pytest.raises(ModelNotFoundError) as first:
        find_or_fetch_model(store, REF, Deadline(30), failures=failures)
    hub.clear()
    with pytest.raises(ModelNotFoundError) as second:
        find_or_fetch_model(store, REF, Deadline(30), failures=FailureLog(tmp_path / "run"))
    assert str(second.value) == str(first.value)
    hub.assert_no_requests()


def test_a_model_is_found_in_a_store_that_loads_do_not_fill(store: Store, make_model: MakeModel) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model(store, REF)
    assert caught.value.tried == store.places(REF)
    assert "nothing is downloaded in this environment" in str(caught.value)
    shutil.copytree(make_model(), store.root / "acme" / "model")
    assert find_model(store, REF).path == store.root / "acme" / "model"


def test_a_snapshot_in_a_volume_is_checked_against_its_hashes(
    hub: EmbeddedHub, store: Store, make_model: MakeModel
) -> None:
    hub.add(make_model(), "acme/model")
    blob = snapshot_blob(find_or_fetch_model(store, REF, Deadline(30)).path, "config.json")
    blob.write_text('{"model_type": "other"}')
    with pytest.raises(ModelIntegrityError, match="1 file of the model is damaged"):
        find_model(store, REF)
    assert blob.read_text() == '{"model_type": "other"}'


@pytest.mark.skipif(os.getuid() == 0, reason="root can write everywhere")
def test_a_store_that_cannot_be_written_is_a_configuration_error(store: Store) -> None:
    store.root.mkdir()
    store.root.chmod(0o500)
    with pytest.raises(ConfigurationError, match="models cannot be written to this folder"):
        find_or_fetch_model(store, REF, Deadline(5))
