"""Small files are written atomically, even if writers are killed, and disk errors become our errors."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelenv.errors import ConfigurationError, NoSpaceError
from modelenv.files.disk import disk_error, write_atomically

WRITER = """
import os, signal, sys
from pathlib import Path
from modelenv.files.disk import write_atomically

Path.replace = lambda self, target: {before}
write_atomically(Path(sys.argv[1]), "of another process")
"""


def writer(path: Path, before: str) -> subprocess.Popen[str]:
    """A process that writes `path`, and does something else instead of the rename."""
    code = WRITER.format(before=before)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=pipe, stdout=pipe, text=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_disk_error(tmp_path: Path) -> None:
    full = disk_error(tmp_path, "acme/model", OSError(28, "No space left on device"))
    assert isinstance(full, NoSpaceError)
    assert str(full).startswith("acme/model: no space left for the model's files\n  found: ")
    read_only = disk_error(tmp_path, "acme/model", OSError(30, "Read-only file system"))
    assert isinstance(read_only, ConfigurationError)
    assert "Read-only file system" in str(read_only)


def test_a_failed_write_leaves_the_old_text_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "ref"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["ref"]


def test_the_folder_is_created_and_the_file_has_the_requested_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    before = os.umask(0o077)
    try:
        write_atomically(path, "text", mode=0o644, durable=True)
    finally:
        os.umask(before)
    assert path.read_text() == "text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_the_next_write_removes_what_a_killed_write_left(tmp_path: Path) -> None:
    path = tmp_path / "ref"
    write_atomically(path, "old")
    with writer(path, "os.kill(os.getpid(), signal.SIGKILL)") as killed:
        assert killed.wait(60) == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    (tmp_path / ".refs.of-somebody.tmp").write_text("")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == [".refs.of-somebody.tmp", "ref"]


def test_a_running_write_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ref"
    with writer(path, "(print('waits', flush=True), input(), os.replace(self, target))") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "waits\n"
        write_atomically(path, "of this one")
        assert path.read_text() == "of this one"
        assert len(names(tmp_path)) == 2
        other.communicate("go on\n", timeout=60)
    assert other.returncode == 0
    assert path.read_text() == "of another process"
    assert names(tmp_path) == ["ref"]


def test_many_writers_at_once_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "ref"
    texts = {character * 1000 for character in "abcdefgh"}

    def write(text: str) -> None:
        for _ in range(50):
            write_atomically(path, text)
            assert path.read_text() in texts

    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(write, texts))
    assert names(tmp_path) == ["ref"]
