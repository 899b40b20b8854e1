"""Patterns, compared with git itself."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from modelenv.hub.http.patterns import ignored, stored_with_lfs
from modelenv.hub.repos.content import gitattributes

if TYPE_CHECKING:
    from pathlib import Path

PATHS = [
    "a.txt",
    "a.bin",
    "#a",
    "!a",
    "build/x",
    "build",
    "src/build/x",
    "src/build.py",
    "docs/a/b/c.md",
    "docs/c.md",
    "x/docs/c.md",
    "file[1].txt",
    "file1.txt",
    "name with space ",
    "name with space",
    "logs/keep.log",
    "logs/other.log",
    "model.safetensors",
    "saved_model/variables/x.txt",
    "x.tfevents.1",
    "a.tar.gz",
    "sound.wav",
]
IGNORES = [
    "*.bin\n# a comment\n\n\\#a\n\\!a",
    "build/",
    "/build",
    "src/build",
    "docs/**/*.md",
    "**/docs",
    "docs/**",
    "file[0-9].txt",
    "file[!0-9].txt",
    "file\\[1\\].txt",
    "name with space",
    "name with space\\ ",
    "logs/*\n!logs/keep.log",
    "logs/\n!logs/keep.log",
    "?.txt",
    "*",
    "*/*.log",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True, timeout=60)
    return folder


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.excludesFile=", *arguments]
    done = subprocess.run(
        command, cwd=repository, input="\0".join(PATHS), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # 1: no file is ignored
    return done.stdout


@pytest.mark.parametrize("text", IGNORES)
def test_ignored_agrees_with_git(repository: Path, text: str) -> None:
    (repository / ".gitignore").write_text(text)
    expected = set(git(repository, "check-ignore", "--no-index", "-z", "--stdin").split("\0")) - {""}
    assert {path for path in PATHS if ignored(path, text)} == expected


@pytest.mark.parametrize(
    "text",
    [
        gitattributes("model"),
        gitattributes("dataset"),
        "*.bin filter=lfs -text\na.bin -filter\n# comment\n\n*.txt text",
        "docs/*.md filter=lfs",
        "*.md filter=other\n",
    ],
)
def test_lfs_agrees_with_git(repository: Path, text: str) -> None:
    (repository / ".gitattributes").write_text(text)
    fields = git(repository, "check-attr", "-z", "--stdin", "filter").split("\0")
    expected = {path for path, value in zip(fields[::3], fields[2::3], strict=False) if value == "lfs"}
    assert {path for path in PATHS if stored_with_lfs(path, text)} == expected
