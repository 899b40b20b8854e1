"""Kept hosts are found in a private folder of this user."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv import ModelHostError
from modelenv.host.folder import hosts_folder
from modelenv.host.kept_hosts import kept_hosts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return hosts_folder()


def test_there_is_no_kept_host(folder: Path) -> None:
    assert list(kept_hosts()) == []
    folder.mkdir(parents=True)
    assert list(kept_hosts()) == []


def test_a_folder_that_cannot_be_read_is_an_error(folder: Path) -> None:
    folder.parent.mkdir()
    folder.symlink_to(folder)
    with pytest.raises(ModelHostError) as caught:
        list(kept_hosts())
    assert str(caught.value) == (
        "the folder of the model hosts cannot be read\n"
        f"  found: {folder}: Too many levels of symbolic links\n"
        "  what to do: set TMPDIR to a folder of your own, here and where pytest runs"
    )
