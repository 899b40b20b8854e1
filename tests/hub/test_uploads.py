"""Pushes with the real client: files, folders, commits and cards."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub

# The client uploads large files in a way that its HTTP library warns about.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

WEIGHTS = bytes(range(256)) * 40


def content(api: HfApi, repo: str, path: str, revision: str | None = None) -> bytes:
    return Path(api.hf_hub_download(repo, path, revision=revision)).read_bytes()


def test_files_can_be_uploaded_and_downloaded(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    info = api.upload_file(repo_id=repo, path_in_repo="a/b.txt", path_or_fileobj=b"text")
    assert str(info) == f"{hub.endpoint}/ada/new/commit/{info.oid}"
    api.upload_file(repo_id=repo, path_in_repo="model.safetensors", path_or_fileobj=WEIGHTS)
    api.upload_file(repo_id=repo, path_in_repo="binary", path_or_fileobj=io.BytesIO(WEIGHTS + b"x"))
    assert content(api, repo, "a/b.txt") == b"text"
    assert content(api, repo, "model.safetensors") == WEIGHTS
    entries = {entry.path: entry for entry in api.get_paths_info(repo, ["a/b.txt", "model.safetensors", "binary"])}
    assert entries["a/b.txt"].lfs is None
    assert entries["model.safetensors"].lfs.size == entries["model.safetensors"].size == len(WEIGHTS)
    assert entries["binary"].lfs is not None  # because of its content
    uploads = [request.kind for request in hub.requests if request.kind.startswith("lfs")]
    assert uploads == ["lfs-batch", "lfs-upload", "lfs-verify"] * 2


def test_existing_files_are_not_uploaded_again(api: HfApi, repo: str, hub: EmbeddedHub) -> None:
    api.upload_file(repo_id=repo, path_in_repo="model.bin", path_or_fileobj=WEIGHTS)
    head = api.model_info(repo).sha
    hub.clear()
    assert api.upload_file(repo_id=repo, path_in_repo="model.bin", path_or_fileobj=WEIGHTS).oid == head
    api.upload_file(repo_id=repo, path_in_repo="copy.bin", path_or_fileobj=WEIGHTS)
    assert [request for request in hub.requests if request.kind == "lfs-upload"] == []
    assert content(api, repo, "copy.bin") == WEIGHTS


def test_ignored_files_of_a_folder_are_not_uploaded(api: HfApi, repo: str, tmp_path: Path) -> None:
    for path in ("config.json", "model.bin", "parts/x.txt", "logs/y.txt", ".gitignore"):
        (tmp_path / "up" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / path).write_text("logs/\n" if path == ".gitignore" else f"content of {path}")
    api.upload_folder(repo_id=repo, folder_path=tmp_path / "up")
    expected = [".gitattributes", ".gitignore", "config.json", "model.bin", "parts/x.txt"]
    assert sorted(api.list_repo_files(repo)) == expected
    folder = api.snapshot_download(repo, local_dir=tmp_path / "down")
    assert api.verify_repo_checksums(repo, local_dir=folder).checked_count == len(expected)


def test_a_commit_changes_deletes_and_copies(api: HfApi, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.errors import EntryNotFoundError

    first = api.create_commit(
        repo,
        [CommitOperationAdd(path, data) for path, data in (("a.txt", b"1"), ("d/x.txt", b"2"), ("w.bin", WEIGHTS))],
        commit_message="first",
        commit_description="said below",
    )
    api.create_commit(
        repo,
        [
            CommitOperationAdd("a.txt", b"changed"),
            CommitOperationDelete("d/"),
            CommitOperationCopy("w.bin", "copied.bin"),
            CommitOperationCopy("a.txt", "a-copy.txt"),
        ],
        commit_message="second",
        parent_commit=first.oid,
    )
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "a-copy.txt", "a.txt", "copied.bin", "w.bin"]
    assert (content(api, repo, "a.txt"), content(api, repo, "a.txt", first.oid)) == (b"changed", b"1")
    assert content(api, repo, "copied.bin") == WEIGHTS
    commits = api.list_repo_commits(repo, formatted=True)
    assert [(commit.title, commit.message, commit.authors) for commit in commits] == [
        ("second", "", ["ada"]),
        ("first", "said below", ["ada"]),
        ("initial commit", "", ["ada"]),
    ]
    entries = api.get_paths_info(repo, ["a.txt", "w.bin"], expand=True)
    assert [entry.last_commit.title for entry in entries] == ["second", "first"]
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist: nothing"):
        api.delete_file("nothing", repo)


def test_a_message_with_any_character(api: HfApi, repo: str) -> None:
    # The client encodes characters beyond the first 65536 as surrogate pairs.
    name = "\U0001f600 \\u.txt"
    api.upload_file(repo_id=repo, path_in_repo=name, path_or_fileobj=b"1", commit_message="\U0001f600")
    assert name in api.list_repo_files(repo)
    assert api.list_repo_commits(repo)[0].title == "\U0001f600"


def test_a_stale_parent_is_refused(api: HfApi, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError

    stale = api.model_info(repo).sha
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"1")
    with pytest.raises(HfHubHTTPError, match="The branch was updated since you opened this page") as caught:
        api.create_commit(repo, [CommitOperationAdd("b.txt", b"2")], commit_message="late", parent_commit=stale)
    assert caught.value.response.status_code == 412
    assert "b.txt" not in api.list_repo_files(repo)


def test_a_card_is_validated_before_the_upload(api: HfApi, repo: str) -> None:
    def push(card: bytes) -> None:
        api.upload_file(repo_id=repo, path_in_repo="README.md", path_or_fileobj=card)

    with pytest.raises(ValueError, match='"model-index" must be an array'):
        push(b"---\nmodel-index: x\n---\n")
    with pytest.raises(ValueError, match="bad YAML"):
        push(b"---\na: [\n---\n")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        push(b"no metadata")
    push(b"---\nlicense: mit\n---\n")
    assert api.model_info(repo).card_data.license == "mit"


def test_a_served_folder_can_be_pushed_to_and_is_not_written(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    hub.add(model, "org/folder")
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    first = api.model_info("org/folder").sha
    api.upload_file(repo_id="org/folder", path_in_repo="config.json", path_or_fileobj=b"{}")
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    (model / "config.json").write_text("no longer followed")
    assert content(api, "org/folder", "config.json") == b"{}"
    assert content(api, "org/folder", "config.json", first) == before[model / "config.json"]


def test_a_dataset_can_be_uploaded_and_downloaded(api: HfApi, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\ngood,1\n")
    (tmp_path / "data" / "sound.wav").write_bytes(WEIGHTS)
    api.create_repo("org/data", repo_type="dataset")
    api.upload_folder(repo_id="org/data", repo_type="dataset", folder_path=tmp_path)

    tree = {entry.path: entry for entry in api.list_repo_tree("org/data", repo_type="dataset", recursive=True)}
    assert tree["data/sound.wav"].lfs.size == len(WEIGHTS)
    assert tree["data/train.csv"].lfs is None
    folder = Path(api.snapshot_download("org/data", repo_type="dataset"))
    for name in ("train.csv", "sound.wav"):
        assert (folder / "data" / name).read_bytes() == (tmp_path / "data" / name).read_bytes()


def test_the_error_for_xet_says_what_to_do(api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import get_session

    answer = get_session().get(f"{api.endpoint}/api/models/{repo}/xet-write-token/main")
    assert answer.status_code == 501
    assert "set HF_HUB_DISABLE_XET=1, and the client uses plain HTTP" in answer.json()["error"]
