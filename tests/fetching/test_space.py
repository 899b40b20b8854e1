"""A disk that is too small: detected before the first byte. Files that already exist need no space.

`test_disk_trouble.py` has the same on a disk that is really small.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import NoSpaceError
from modelenv.fetching.space import missing_bytes
from modelenv.files.disk import check_space
from modelenv.hub import EmbeddedHub
from modelenv.loading.locked_folder import obtain_locked
from modelenv.store.checks import Checks
from modelenv.store.store import Store

from .conftest import Lock, MakeModel

TOO_MUCH = 10**18  # bytes: more than any disk has


def test_a_locked_model_that_is_too_large_for_any_disk(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, lock: Lock
) -> None:
    hub.add(make_model(), "acme/model")
    locked = lock()
    files = [replace(file, size=TOO_MUCH) if "model" in file.path else file for file in locked.files]
    store = replace(store, setting="HF_HOME")
    with pytest.raises(NoSpaceError) as caught:
        obtain_locked(store, replace(locked, files=tuple(files)), Deadline(30), fetches=True, checks=Checks())
    hub.assert_no_requests()
    assert caught.value.what == "the model's files do not fit on the disk"
    assert caught.value.expected == "1000000.0 TB of free space for the missing files"
    assert f" free in {store.root}: " in str(caught.value.found)
    assert str(caught.value.hint).endswith(", or set HF_HOME to a folder on a larger disk")


def test_existing_files_need_no_space(tmp_path: Path) -> None:
    blobs = tmp_path / "models--acme--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "whole").write_bytes(bytes(7))
    (blobs / "cut").write_bytes(bytes(3))
    sizes = {"whole": 7, "cut": 5, "missing": 11}
    assert missing_bytes(tmp_path, blobs, sizes) == 16
    (tmp_path / "blobs" / "ab").mkdir(parents=True)  # where huggingface_hub 2.4 keeps files that several repos share
    (tmp_path / "blobs" / "ab" / "name").write_bytes(bytes(11))
    assert missing_bytes(tmp_path, blobs, sizes) == 5


def test_the_error_says_how_much_space_is_missing(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    check_space(tmp_path / "not" / "there", 0, "acme/model")
    with pytest.raises(NoSpaceError) as caught:
        check_space(tmp_path, usage.total + 10**12, "acme/model", hint="make room")
    assert caught.value.hint == "make room"
    assert str(caught.value.found).endswith(" TB too little")


def test_a_file_system_without_a_size_refuses_nothing() -> None:
    assert shutil.disk_usage("/proc").total == 0
    check_space(Path("/proc"), TOO_MUCH, "acme/model")
