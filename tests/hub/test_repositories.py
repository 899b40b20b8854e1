from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError
from modelenv.hub.repos.repositories import Repositories, Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def ids(root: Path) -> list[str]:
    return [repository.repo_id for repository in Repositories(root).all()]


def fill(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def test_models_with_and_without_an_organisation_are_found(tmp_path: Path) -> None:
    fill(tmp_path, "org/one/config.json", "org/two/weights.gguf", "gpt2/config.json", "org/README.md")
    assert ids(tmp_path) == ["gpt2", "org/one", "org/two"]


def test_subfolders_of_a_model_are_not_models(tmp_path: Path) -> None:
    fill(tmp_path, "minilm/config.json", "minilm/1_Pooling/config.json")
    assert ids(tmp_path) == ["minilm"]
    assert [file.path for file in Repositories(tmp_path).all()[0].listing()] == [
        "1_Pooling/config.json",
        "config.json",
    ]


def test_empty_folders_hidden_folders_and_files_are_not_models(tmp_path: Path) -> None:
    fill(tmp_path, ".cache/x/config.json", "org/.git/config", "loose.txt", "hidden/.DS_Store")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    assert ids(tmp_path) == []


def test_a_new_folder_appears_at_once(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)
    assert repositories.find("org/late") is None
    fill(tmp_path, "org/late/config.json")
    found = repositories.find("org/late")
    assert found is not None
    assert repositories.find("org/late") is found


@pytest.mark.parametrize(
    "repo_id", ["../models/org", "org/..", "org/name/parts", "/etc", "", "org/", ".", "org//name", "org\0"]
)
def test_no_id_leads_out_of_the_root(repo_id: str, model: Path) -> None:
    assert Repositories(model.parent.parent).find(repo_id) is None


def test_linked_folders_are_models_only_inside_the_root(tmp_path: Path) -> None:
    fill(tmp_path, "outside/config.json", "root/org/one/config.json")
    (tmp_path / "root" / "outside").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "org" / "outside").symlink_to("../../outside")
    (tmp_path / "root" / "org" / "inside").symlink_to("one")
    assert ids(tmp_path / "root") == ["org/inside", "org/one"]
    assert Repositories(tmp_path / "root").find("org/outside") is None


def test_only_regular_files_of_the_folder_itself_are_served(model: Path, tmp_path: Path) -> None:
    fill(tmp_path, "secret.txt", "outside/file.txt")
    fill(model, ".git/config", ".cache/huggingface/x.lock", "parts/.hidden/x", ".gitattributes")
    (model / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (model / "outside").symlink_to(tmp_path / "outside")
    (model / "git.txt").symlink_to(model / ".git" / "config")
    (model / "inside.txt").symlink_to("vocab.txt")
    (model / "broken.txt").symlink_to("nothing")
    (model / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(model / "pipe.txt")
    assert [file.path for file in Repository("org/name", model).listing()] == [
        ".gitattributes",
        "README.md",
        "config.json",
        "inside.txt",
        "model.safetensors",
        "parts/deep/empty.txt",
        "parts/größe 1.txt",
        "vocab.txt",
    ]


def test_the_commit_depends_only_on_names_and_bytes(
    model: Path, tmp_path: Path, make_model: Callable[[Path], Path]
) -> None:
    repository = Repository("org/name", model)
    first = repository.snapshot()
    assert Repository("else/where", make_model(tmp_path / "copy")).snapshot().commit == first.commit
    os.utime(model / "config.json", ns=(1, 1))
    assert repository.snapshot().commit == first.commit

    (model / "vocab.txt").write_text("other")
    changed = repository.snapshot().commit
    (model / "vocab.txt").rename(model / "words.txt")
    assert len({first.commit, changed, repository.snapshot().commit}) == 3


def test_another_process_gives_the_same_commit(model: Path) -> None:
    code = (
        "import sys, pathlib; from modelenv.hub.repos.repositories import Repository;"
        "print(Repository('a/b', pathlib.Path(sys.argv[1])).snapshot().commit)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == Repository("org/name", model).snapshot().commit


def test_unchanged_files_are_not_read_again(model: Path) -> None:
    # Other bytes of the same size and time: a second read would notice them.
    repository = Repository("org/name", model)
    before = repository.snapshot()
    status = (model / "vocab.txt").stat()
    (model / "vocab.txt").write_bytes(b"#" * status.st_size)
    os.utime(model / "vocab.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    (model / "README.md").write_text("changed")

    after = repository.snapshot()

    assert after.files["vocab.txt"].blob_id == before.files["vocab.txt"].blob_id
    assert after.files["README.md"].blob_id != before.files["README.md"].blob_id
    assert repository.snapshot() is after


def test_an_added_folder_is_described(model: Path) -> None:
    info = Repositories(None).add(model, "my/model")
    assert (info.repo_id, info.folder) == ("my/model", model)
    assert info.commit == Repository("org/name", model).snapshot().commit
    assert "parts/größe 1.txt" in info.files


def test_a_folder_under_the_root_needs_no_id(model: Path) -> None:
    repositories = Repositories(model.parent.parent)
    assert repositories.add(model).repo_id == "org/name"
    assert [repository.repo_id for repository in repositories.all()] == ["org/name"]


def test_a_folder_elsewhere_needs_an_id(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="outside the served root requires a repo id") as caught:
        Repositories(None).add(model)
    assert "what to do: pass repo_id='org/name'" in str(caught.value)


@pytest.mark.parametrize("repo_id", ["../x", "a/b/c", "", "-a/b", "a\\b", "a/.b", "a b", "a/b..c"])
def test_a_wrong_id_is_refused(repo_id: str, model: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a valid repo id") as caught:
        Repositories(None).add(model, repo_id)
    assert caught.value.found == repr(repo_id)
    assert "expected: 'org/name' or 'name' of letters" in str(caught.value)


def test_an_id_names_one_folder(model: Path, tmp_path: Path, make_model: Callable[[Path], Path]) -> None:
    repositories = Repositories(model.parent.parent)
    with pytest.raises(ConfigurationError, match="this repository id is taken") as caught:
        repositories.add(make_model(tmp_path / "other"), "org/name")
    assert f"found: {model} is served under it" in str(caught.value)
    assert "what to do: give the folder another repo_id" in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the folder to serve does not exist") as caught:
        Repositories(None).add(tmp_path / "nothing", "a/b")
    assert f"found: {tmp_path / 'nothing'}" in str(caught.value)


def test_a_folder_with_only_links_out_of_it_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "blobs/abc")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "config.json").symlink_to("../blobs/abc")
    with pytest.raises(ConfigurationError, match="has no files to serve") as caught:
        Repositories(None).add(tmp_path / "snapshot", "a/b")
    assert "no links that lead out of the folder" in str(caught.value)
    assert "cp -rL" in str(caught.value)
