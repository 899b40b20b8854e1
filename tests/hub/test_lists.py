"""Lists of repositories: order, filters, and the values of `expand` for each type."""

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
    """A function that serves a folder with one file of the given content and age."""

    def added(name: str, content: str = "", *, file: str = "README.md", seconds: int = 0, repo_type: str = "model"):
        path = tmp_path / repo_type / name / file
        path.parent.mkdir(parents=True)
        path.write_text(content)
        os.utime(path, (seconds, seconds))
        hub.add(path.parent, name, repo_type=repo_type)

    return added


def test_lists_are_sorted_before_the_limit_applies(api: HfApi, add) -> None:
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


def test_created_repositories_have_a_time_of_creation(api: HfApi, add) -> None:
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


def test_datasets_are_found_by_their_card(api: HfApi, add) -> None:
    card = "---\nlanguage: [en, de]\nlicense: mit\ntask_categories: [question-answering]\nsize_categories: [n<1K]\n"
    add(
        "ada/one",
        card + "task_ids: open-qa\nmultilinguality: translation\ntags: [finance]\n---\n",
        repo_type="dataset",
    )
    add("ada/two", "---\nlanguage: fr\n---\n", repo_type="dataset")
    expected = (
        "task_categories:question-answering task_ids:open-qa language:en language:de multilinguality:translation "
        "license:mit size_categories:n<1K finance"
    )
    assert api.dataset_info("ada/one").tags == expected.split()
    for query in (
        {"language": "en"},
        {"language": ["en", "de"]},
        {"task_categories": "question-answering"},
        {"task_ids": "open-qa"},
        {"size_categories": "n<1K"},
        {"multilinguality": "translation"},
        {"filter": ["license:mit", "finance"]},
        {"dataset_name": "one", "search": "ada"},
    ):
        assert [info.id for info in api.list_datasets(**query)] == ["ada/one"], query
    assert list(api.list_datasets(language=["en", "fr"])) == []


def test_a_model_is_found_by_its_base_model_and_datasets(api: HfApi, add) -> None:
    add("ada/fine", "---\nbase_model: ada/base\ndatasets: [squad]\n---\n")
    add("ada/other")
    assert api.model_info("ada/fine").tags == ["dataset:squad", "base_model:ada/base"]
    for query in ({"filter": "base_model:ada/base"}, {"trained_dataset": "squad"}):
        assert [info.id for info in api.list_models(**query)] == ["ada/fine"]


def test_every_value_of_expand_is_accepted(api: HfApi, add) -> None:
    from typing import get_args

    from huggingface_hub import hf_api
    from huggingface_hub.errors import BadRequestError

    from modelenv.hub.http.expandable import EXPANDABLE

    add("ada/a")
    add("ada/a", repo_type="dataset")
    api.create_repo("ada/a", repo_type="space", space_sdk="static")
    asked = {
        "model": (api.model_info, hf_api.ExpandModelProperty_T),
        "dataset": (api.dataset_info, hf_api.ExpandDatasetProperty_T),
        "space": (api.space_info, hf_api.ExpandSpaceProperty_T),
    }
    for repo_type, (info, names) in asked.items():
        assert set(get_args(names)) <= EXPANDABLE[repo_type]
        assert info("ada/a", expand=list(get_args(names))).author == "ada"
    for repo_type, name in (("dataset", "safetensors"), ("space", "gated"), ("model", "sdk")):
        with pytest.raises(BadRequestError, match=f"Invalid value of expand: {name}; expected one of author"):
            asked[repo_type][0]("ada/a", expand=[name])
    assert [info.sdk for info in api.list_spaces(expand=["sdk"])] == ["static"]


def test_the_results_in_a_card_are_in_the_info(api: HfApi, add) -> None:
    add("ada/a", "---\nmodel-index:\n- name: mine\n  results: []\n---\n")
    assert api.model_info("ada/a").model_index == [{"name": "mine", "results": []}]
    assert api.model_info("ada/a", expand=["model-index"]).model_index == [{"name": "mine", "results": []}]
