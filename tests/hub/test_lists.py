"""Lists of repositories: their order, their filters, and what the real client may ask of each type."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub


@pytest.fixture
def add(hub: EmbeddedHub, tmp_path: Path):
    """Serves a folder of one file, of this content and age."""

    def added(name: str, content: str = "", *, file: str = "README.md", seconds: int = 0, repo_type: str = "model"):
        path = tmp_path / repo_type / name / file
        path.parent.mkdir(parents=True)
        path.write_text(content)
        os.utime(path, (seconds, seconds))
        hub.add(path.parent, name, repo_type=repo_type)

    return added


def test_lists_are_sorted_before_they_are_cut(api: HfApi, add) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    for name, seconds in {"ada/a": 2, "ada/b": 1, "ada/c": 3}.items():
        add(name, seconds=seconds)

    def found(**query: object) -> list[str]:
        return [info.id for info in api.list_models(author="ada", **query)]

    assert found(sort="last_modified") == ["ada/c", "ada/a", "ada/b"]
    assert found(sort="last_modified", limit=2) == ["ada/c", "ada/a"]
    assert found(sort="last_modified", full=True) == ["ada/c", "ada/a", "ada/b"]
    for sort in ("downloads", "likes", "trending_score"):
        assert found(sort=sort) == ["ada/a", "ada/b", "ada/c"]
    api.upload_file(repo_id="ada/b", path_in_repo="a.txt", path_or_fileobj=b"1")
    assert found(sort="last_modified", limit=1) == ["ada/b"]
    with pytest.raises(HfHubHTTPError, match="The embedded Hub cannot sort by colour") as caught:
        found(sort="colour")
    assert caught.value.response.status_code == 501


def test_what_is_created_has_its_time(api: HfApi, add) -> None:
    add("ada/a")
    api.create_repo("ada/b")
    api.create_repo("ada/c", repo_type="dataset")
    assert [info.id for info in api.list_models(author="ada", sort="created_at")] == ["ada/b", "ada/a"]
    folder, made = api.model_info("ada/a").created_at, api.model_info("ada/b").created_at
    assert (folder.year, folder.month, folder.day) == (2022, 3, 2)
    first = api.list_repo_commits("ada/b")[0].created_at
    assert abs((made - first).total_seconds()) < 3600
    assert api.dataset_info("ada/c").created_at >= made
    api.move_repo("ada/b", "org/b")
    assert api.model_info("org/b").created_at == made
